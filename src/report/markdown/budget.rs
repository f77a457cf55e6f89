//! Fitting a text to a forge's limit: whole items are left out, never parts of one.

/// What a forge counts a comment's length in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthUnit {
    /// Unicode scalar values.
    Characters,
    /// Bytes of UTF-8.
    Bytes,
    /// Code units of UTF-16.
    Utf16,
}

impl LengthUnit {
    /// A text's length.
    pub fn of(self, text: &str) -> usize {
        match self {
            LengthUnit::Characters => text.chars().count(),
            LengthUnit::Bytes => text.len(),
            LengthUnit::Utf16 => text.encode_utf16().count(),
        }
    }
}

/// How many items may still be shown, and how many were.
#[derive(Debug)]
pub(in crate::report) struct Budget {
    left: usize,
    /// The items that were shown.
    pub(in crate::report) shown: usize,
    /// The items that were left out.
    pub(in crate::report) hidden: usize,
}

impl Budget {
    fn new(left: usize) -> Self {
        Budget { left, shown: 0, hidden: 0 }
    }

    /// Whether one more item may be shown; counts it either way.
    pub(in crate::report) fn take(&mut self) -> bool {
        if self.left == 0 {
            self.hidden += 1;
            return false;
        }
        self.left -= 1;
        self.shown += 1;
        true
    }

    /// The lines that there is room for, and how many there is none for.
    pub(in crate::report) fn lines(&mut self, lines: impl Iterator<Item = String>) -> Vec<String> {
        let mut left_out = 0_usize;
        let mut shown = Vec::new();
        for line in lines {
            if self.take() {
                shown.push(line);
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            shown.push(format!("  +{left_out} more"));
        }
        shown
    }
}

/// The text with the most items that fits.
pub(in crate::report) fn fit(limit: usize, unit: LengthUnit, render: impl Fn(&mut Budget) -> String) -> String {
    let of = |items: usize| {
        let mut budget = Budget::new(items);
        let text = render(&mut budget);
        (text, budget.shown)
    };
    let (whole, items) = of(usize::MAX);
    if unit.of(&whole) <= limit {
        return whole;
    }
    // The most items that fit are between `fits` and `too_many`.
    let (mut fits, mut too_many) = (0, items);
    let mut best = of(0).0;
    while fits + 1 < too_many {
        let middle = fits + (too_many - fits) / 2;
        let (text, _) = of(middle);
        if unit.of(&text) <= limit {
            (fits, best) = (middle, text);
        } else {
            too_many = middle;
        }
    }
    // A limit that not even the frame fits into: as much of it as does.
    while unit.of(&best) > limit {
        best.pop();
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{LengthUnit, fit};

    #[test]
    fn the_most_items_that_fit_are_shown() {
        let render = |budget: &mut super::Budget| {
            let shown: Vec<&str> = (0..100).filter(|_| budget.take()).map(|_| "item").collect();
            let more = if budget.hidden > 0 { format!("+{} more", budget.hidden) } else { String::new() };
            format!("{}{more}", shown.join(""))
        };
        assert_eq!(fit(400, LengthUnit::Bytes, render), "item".repeat(100));
        for limit in 9..400 {
            let text = fit(limit, LengthUnit::Bytes, render);
            let items = text.matches("item").count();
            assert!(text.len() <= limit, "{limit}: {text}");
            assert!(text.ends_with(&format!("+{} more", 100 - items)), "{limit}: {text}");
            assert!(4 * (items + 1) + "+99 more".len() > limit || items == 99, "{limit}: one more would fit: {text}");
        }
        assert_eq!(fit(3, LengthUnit::Bytes, render), "+10");
    }

    #[test]
    fn each_forge_counts_in_its_own_way() {
        let text = "aé日🫑";
        assert_eq!(LengthUnit::Characters.of(text), 4);
        assert_eq!(LengthUnit::Bytes.of(text), 1 + 2 + 3 + 4);
        assert_eq!(LengthUnit::Utf16.of(text), 5);
        // Cut between characters, whatever the unit.
        for unit in [LengthUnit::Characters, LengthUnit::Bytes, LengthUnit::Utf16] {
            for limit in 0..10 {
                let cut = fit(limit, unit, |_| text.to_owned());
                assert!(text.starts_with(&cut) && unit.of(&cut) <= limit);
            }
        }
    }
}
