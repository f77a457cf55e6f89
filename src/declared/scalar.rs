//! The scalars of the file: each type's text, and its schema.

use schemars::{Schema, json_schema};

use crate::declared::problem::{Wrong, shown};
use crate::declared::reader::{Form, Templates};
use crate::declared::shape::{Key, Scalar};
use crate::declared::suggest;
use crate::ids::{EnvironmentName, SecretName, ServiceName};
use crate::live::image::{ImageRef, ImageValue};
use crate::live::quantity::{Bytes, DURATION_EXPECTED, Millis, NanoCpus, SIZE_EXPECTED};
use crate::live::value::{PullPolicy, RestartPolicy, Strategy};

const NAME_PATTERN: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const NAME_RULE: &str = "1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit";

/// Why a text is no name, with one that would be.
fn not_a_name(what: &str, text: &str) -> Wrong {
    let folded: String = text
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(63)
        .collect();
    let name = folded.trim_matches('-');
    let wrong = Wrong::new(format!("{} is not the name of {what}: {NAME_RULE}", shown(text)));
    let name = if name.is_empty() { "web" } else { name };
    wrong.help(format!("write `{name}`"))
}

macro_rules! names {
    ($($type:ty, $what:literal, $map:literal, $expected:literal;)+) => {$(
        impl Key for $type {
            const PATTERN: &'static str = NAME_PATTERN;
            const MAP: &'static str = $map;
            fn from_key(text: &str) -> Result<Self, Wrong> {
                text.parse().map_err(|_| not_a_name($what, text))
            }
        }
        impl Scalar for $type {
            const EXPECTED: &'static str = $expected;
            fn from_text(text: &str) -> Result<Self, Wrong> {
                text.parse().map_err(|_| not_a_name($what, text))
            }
            fn schema() -> Schema {
                json_schema!({ "type": "string", "pattern": NAME_PATTERN })
            }
        }
    )+};
}
names! {
    EnvironmentName, "an environment", "a map of environments (`production: {services: …}`)", "an environment's name";
    ServiceName, "a service", "a map of services (`web: {image: …}`)", "a service's name";
    SecretName, "a secret", "a map of secrets", "the name of a secret, such as `database-url`";
}

/// The file's format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileVersion;

impl Scalar for FileVersion {
    const FORM: Form = Form::Number;
    const TEMPLATES: Templates = Templates::None;
    const EXPECTED: &'static str = "`1`, the format of this file";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text == "1" {
            return Ok(FileVersion);
        }
        Err(Wrong::new(format!("this Trueup reads version 1 of the file's format, not {}", shown(text)))
            .help("write `version: 1`; your own software's version does not belong here"))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "integer", "const": 1 })
    }
}

macro_rules! whole_numbers {
    ($($(#[$doc:meta])* $name:ident($type:ty), $least:literal ..= $most:literal, $expected:literal, $help:literal, $zero:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $type);

        impl Scalar for $name {
            const FORM: Form = Form::Number;
            const EXPECTED: &'static str = $expected;
            fn from_text(text: &str) -> Result<Self, Wrong> {
                let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
                match text.parse::<$type>() {
                    Ok(number) if digits && ($least..=$most).contains(&number) => Ok($name(number)),
                    _ => {
                        let wrong = Wrong::new(format!("{} is not {}", shown(text), $expected));
                        Err(wrong.help(if text == "0" { $zero } else { $help }))
                    }
                }
            }
            fn schema() -> Schema {
                json_schema!({ "type": "integer", "minimum": $least, "maximum": $most })
            }
        }
    )+};
}
whole_numbers! {
    /// A TCP port.
    PortNumber(u16), 1..=65535, "a port, 1 to 65535", "write its number, such as 8080", "write its number, such as 8080";
    /// How many replicas run.
    ReplicaCount(u64), 1..=1000, "a number of replicas, 1 to 1000", "write a whole number, such as 2",
        "to run none, remove the service and sync with `--prune`";
    /// Probes in a row.
    Threshold(u64), 1..=100, "a number of probes, 1 to 100", "write a whole number, such as 3",
        "write 1 where the first probe decides";
}

impl Scalar for bool {
    const FORM: Form = Form::Boolean;
    const EXPECTED: &'static str = "`true` or `false`";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| {
            Wrong::new(format!("{} is neither `true` nor `false`", shown(text))).help("write one of the two")
        })
    }
    fn schema() -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

/// `true` or `false`, written out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literally(pub(crate) bool);

impl Scalar for Literally {
    const FORM: Form = Form::Boolean;
    const TEMPLATES: Templates = Templates::None;
    const EXPECTED: &'static str = <bool as Scalar>::EXPECTED;
    fn from_text(text: &str) -> Result<Self, Wrong> {
        bool::from_text(text).map(Literally)
    }
    fn schema() -> Schema {
        bool::schema()
    }
}

impl Scalar for ImageValue {
    const EXPECTED: &'static str = "an image, such as nginx:1.27 or registry.acme.dev/shop/web:1.2";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            return Err(Wrong::new("an image reference has no scheme").help(format!("write {}", shown(rest))));
        }
        let reference = text.parse::<ImageRef>().map_err(|_| {
            let wrong = Wrong::new(format!("{} is not {}", shown(text), <Self as Scalar>::EXPECTED));
            let name = text.split(['@', ':']).next().unwrap_or_default();
            if name.chars().any(|c| c.is_ascii_uppercase()) {
                wrong.help("repositories are named in lower case")
            } else {
                wrong.help("write [registry/]repository[:tag][@digest], without spaces")
            }
        })?;
        Ok(ImageValue { reference: Some(reference), content: Default::default() })
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A duration that is not zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positive(pub(crate) Millis);

impl Scalar for Millis {
    const EXPECTED: &'static str = DURATION_EXPECTED;
    fn from_text(text: &str) -> Result<Self, Wrong> {
        Millis::parse(text).map_err(|_| {
            Wrong::new(format!("{} is not {DURATION_EXPECTED}, at most seven days", shown(text)))
                .help("write a number and its unit (ms, s, m or h), such as 10s")
        })
    }
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "minimum": 0 })
    }
}

impl Scalar for Positive {
    const EXPECTED: &'static str = DURATION_EXPECTED;
    fn from_text(text: &str) -> Result<Self, Wrong> {
        match Millis::from_text(text)? {
            Millis(0) => Err(Wrong::new("this must be longer than nothing").help("write a duration such as 5s")),
            millis => Ok(Positive(millis)),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "exclusiveMinimum": 0 })
    }
}

impl Scalar for Bytes {
    const EXPECTED: &'static str = SIZE_EXPECTED;
    fn from_text(text: &str) -> Result<Self, Wrong> {
        match Bytes::parse(text) {
            Ok(Bytes(0)) => Err(no_limit()),
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(Wrong::new(format!("{} is not {SIZE_EXPECTED}", shown(text)))
                .help("write a number and its unit (Ki, Mi, Gi or k, M, G), such as 256Mi")),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "exclusiveMinimum": 0 })
    }
}

impl Scalar for NanoCpus {
    const EXPECTED: &'static str = "a number of CPUs, such as 0.5, 2 or 500m";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        match NanoCpus::parse(text) {
            Ok(NanoCpus(0)) => Err(no_limit()),
            Ok(cpus) => Ok(cpus),
            Err(_) => Err(Wrong::new(format!("{} is not {}", shown(text), <Self as Scalar>::EXPECTED))
                .help("write how many CPUs it may use, such as 0.5")),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "exclusiveMinimum": 0 })
    }
}

fn no_limit() -> Wrong {
    Wrong::new("a limit must be more than nothing").help("for no limit, remove the key")
}

impl Scalar for PullPolicy {
    const EXPECTED: &'static str = "`always`, `if-not-present` or `never`";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        PullPolicy::from_word(text).ok_or_else(|| unknown_word(text, PullPolicy::ALL.iter().map(|(_, word)| *word)))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "enum": PullPolicy::ALL.iter().map(|(_, word)| *word).collect::<Vec<_>>() })
    }
}

impl Scalar for RestartPolicy {
    const EXPECTED: &'static str = "`always`, `unless-stopped`, `on-failure`, `on-failure:5` or `\"no\"`";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        RestartPolicy::from_word(text)
            .ok_or_else(|| unknown_word(text, ["no", "always", "unless-stopped", "on-failure", "on-failure:5"]))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(no|always|unless-stopped|on-failure(:[0-9]+)?)$" })
    }
}

/// A deploy strategy; nothing written means `recreate` in the short form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortStrategy(pub(crate) Strategy);

const LATER_STRATEGIES: [&str; 3] = ["rolling", "blue-green", "canary"];

impl Scalar for Strategy {
    const EXPECTED: &'static str = "a deploy strategy: `recreate`";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if LATER_STRATEGIES.contains(&text) {
            return Err(
                Wrong::new(format!("the deploy strategy `{text}` is not supported yet")).help("write `recreate`")
            );
        }
        Strategy::from_word(text).ok_or_else(|| unknown_word(text, Strategy::ALL.iter().map(|(_, word)| *word)))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "enum": Strategy::ALL.iter().map(|(_, word)| *word).collect::<Vec<_>>() })
    }
}

impl Scalar for ShortStrategy {
    const EXPECTED: &'static str = <Strategy as Scalar>::EXPECTED;
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.is_empty() {
            Ok(ShortStrategy(Strategy::Recreate))
        } else {
            Strategy::from_text(text).map(ShortStrategy)
        }
    }
    fn schema() -> Schema {
        let words: Vec<&str> = std::iter::once("").chain(Strategy::ALL.iter().map(|(_, word)| *word)).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

fn unknown_word<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Wrong {
    let known: Vec<&str> = known.into_iter().collect();
    let wrong = Wrong::new(format!("{} is not known here; it can be {}", shown(text), known.join(", ")));
    match suggest::nearest(text, known) {
        Some(meant) => wrong.help(format!("did you mean `{meant}`?")),
        None => wrong.help("write one of these words"),
    }
}
