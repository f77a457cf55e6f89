//! The rules by which what runs counts as what was declared although the two are not written alike.

use serde::{Deserialize, Serialize};

use crate::live::value::Value;

/// Why a difference is none. (A secret is compared by its fingerprint alone and so has no difference to suppress; a leaf
/// that nobody declared is not compared at all.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The image's content is the same, whichever of its names and digests either side knows.
    ImageContent,
    /// A volume is the one that goes by its name, whoever made it.
    VolumeName,
    /// The provider keeps the value in coarser steps, and what runs is what it makes of the declared one.
    Rounded,
    /// The leaf is withdrawn, and what is there is what the image or the provider supplies by itself.
    Supplied,
}

impl Rule {
    /// The rule under which two values that count as the same ([`Value::same`]) are not equal; `None` where they are.
    pub fn between(declared: &Value, live: &Value) -> Option<Rule> {
        match (declared, live) {
            (Value::Image(a), Value::Image(b)) => (a != b).then_some(Rule::ImageContent),
            (Value::Volume(a), Value::Volume(b)) => (a != b).then_some(Rule::VolumeName),
            _ => None,
        }
    }

    /// The rule in words.
    pub fn words(self) -> &'static str {
        match self {
            Rule::ImageContent => {
                "the image's content is the same, whichever of its names and digests either side knows"
            }
            Rule::VolumeName => "a volume is the one that goes by its name, whoever made it",
            Rule::Rounded => "the provider keeps the value in coarser steps",
            Rule::Supplied => "it is withdrawn, and what is there is what the image or the provider supplies by itself",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;
    use crate::live::value::{Value, VolumeMount, VolumeSource};

    #[test]
    fn only_what_is_not_equal_takes_a_rule() {
        let volume = |source| Value::Volume(VolumeMount { source, read_only: false });
        let (own, external) =
            (volume(VolumeSource::Named("data".into())), volume(VolumeSource::External("data".into())));
        assert!(own.same(&external));
        assert_eq!(Rule::between(&own, &external), Some(Rule::VolumeName));
        assert_eq!(Rule::between(&own, &own), None);
        assert_eq!(Rule::between(&Value::Integer(1), &Value::Integer(1)), None);
    }
}
