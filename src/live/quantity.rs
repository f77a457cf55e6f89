//! Durations, sizes and CPU shares in the one form in which both sides are compared.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not the quantity it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidQuantity {
    /// The offending text, cut to 60 characters.
    pub text: String,
    /// What was expected, with an example.
    pub expected: &'static str,
}

fn invalid(text: &str, expected: &'static str) -> InvalidQuantity {
    InvalidQuantity { text: text.chars().take(60).collect(), expected }
}

/// A span of time in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// What a duration may look like.
pub const DURATION_EXPECTED: &str = "a duration such as 500ms, 10s, 1m30s or 1h (a bare number is seconds)";

/// The longest duration that is accepted: one week.
pub const DURATION_MAX: Millis = Millis(7 * 24 * 3_600_000);

impl Millis {
    /// Parses Go's and Compose's notation (`1h2m3.5s`, `500ms`); a bare number is seconds.
    ///
    /// # Errors
    /// A text that is no duration, or one longer than [`DURATION_MAX`].
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        let fail = || invalid(text, DURATION_EXPECTED);
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(fail());
        }
        let mut total: f64 = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().map_err(|_| fail())?;
            let tail = &rest[digits..];
            let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let factor = match &tail[..unit] {
                "ms" => 1.0,
                "" if digits == text.trim().len() => 1_000.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                "d" => 86_400_000.0,
                _ => return Err(fail()),
            };
            total += number * factor;
            rest = &tail[unit..];
        }
        let millis = total.round();
        if !(0.0..=DURATION_MAX.0 as f64).contains(&millis) {
            return Err(fail());
        }
        Ok(Millis(millis as u64))
    }

    /// As the standard library's duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

/// An amount of memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// What a size may look like.
pub const SIZE_EXPECTED: &str = "a size such as 256Mi, 1.5Gi, 512M or 1073741824B (a bare number is MiB)";

impl Bytes {
    /// Parses a size: `Ki Mi Gi Ti` are powers of 1024, as in Kubernetes; `K M G T` (either case) too, as in Docker;
    /// `KB MB GB` powers of 1000; `B` bytes; a bare number MiB.
    ///
    /// # Errors
    /// A text that is no size, or one of 2^60 bytes or more.
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        let fail = || invalid(text, SIZE_EXPECTED);
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let number: f64 = trimmed[..digits].parse().map_err(|_| fail())?;
        let factor: u64 = match trimmed[digits..].trim() {
            "" => 1 << 20,
            "B" | "b" => 1,
            "Ki" | "KiB" | "K" | "k" => 1 << 10,
            "Mi" | "MiB" | "M" | "m" => 1 << 20,
            "Gi" | "GiB" | "G" | "g" => 1 << 30,
            "Ti" | "TiB" | "T" | "t" => 1 << 40,
            "KB" | "kB" | "kb" => 1_000,
            "MB" | "mb" => 1_000_000,
            "GB" | "gb" => 1_000_000_000,
            "TB" | "tb" => 1_000_000_000_000,
            _ => return Err(fail()),
        };
        let bytes = (number * factor as f64).round();
        if !(0.0..(1u64 << 60) as f64).contains(&bytes) {
            return Err(fail());
        }
        Ok(Bytes(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("Ti", 1u64 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A CPU limit in billionths of a core, as the Engine's `NanoCpus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct NanoCpus(pub u64);

/// What a CPU limit may look like.
pub const CPU_EXPECTED: &str = "a number of cores such as 0.5, 2 or 250m (thousandths of a core)";

impl NanoCpus {
    /// Parses cores (`0.5`, `2`) or Kubernetes' millicores (`250m`).
    ///
    /// # Errors
    /// A text that is no CPU limit, or one above 4096 cores.
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        let fail = || invalid(text, CPU_EXPECTED);
        let trimmed = text.trim();
        let (number, factor) = match trimmed.strip_suffix('m') {
            Some(milli) => (milli, 1e6),
            None => (trimmed, 1e9),
        };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(fail());
        }
        let nanos = (number.parse::<f64>().map_err(|_| fail())? * factor).round();
        if !(0.0..=4096e9).contains(&nanos) {
            return Err(fail());
        }
        Ok(NanoCpus(nanos as u64))
    }
}

impl fmt::Display for NanoCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Millis, NanoCpus};

    #[test]
    fn durations_in_every_notation() {
        for (text, millis) in [
            ("10", 10_000),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1h", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(Millis::parse(text), Ok(Millis(millis)), "{text}");
        }
        for text in ["", "s", "10x", "-1s", "1 s", "8d", "1s10", "1..5s"] {
            assert!(Millis::parse(text).is_err(), "{text}");
        }
        assert_eq!(Millis(90_500).to_string(), "1m30s500ms");
    }

    #[test]
    fn sizes_in_every_notation() {
        for (text, bytes) in [
            ("256", 268_435_456),
            ("256Mi", 268_435_456),
            ("256m", 268_435_456),
            ("0.25Gi", 268_435_456),
            ("1GB", 1_000_000_000),
            ("12B", 12),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "Mi", "1Xi", "-1", "1e9Ti"] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
        assert_eq!(Bytes(268_435_456).to_string(), "256Mi");
        assert_eq!(Bytes(268_435_457).to_string(), "268435457B");
    }

    #[test]
    fn cpu_in_every_notation() {
        for (text, nanos) in [("0.5", 500_000_000), ("500m", 500_000_000), ("2", 2_000_000_000)] {
            assert_eq!(NanoCpus::parse(text), Ok(NanoCpus(nanos)), "{text}");
        }
        for text in ["", "m", "half", "1e3", "9999", "-1"] {
            assert!(NanoCpus::parse(text).is_err(), "{text}");
        }
        assert_eq!(NanoCpus(500_000_000).to_string(), "0.5");
    }
}
