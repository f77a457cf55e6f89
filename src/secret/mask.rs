//! Masking: known secrets taken out of text that others wrote (a probe's answer, a replica's last words, an engine's
//! refusal) before it is kept or shown.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::ids::ServiceName;
use crate::live::LiveService;
use crate::live::field::FieldPath;
use crate::live::value::Value;

/// Secrets of fewer bytes are not masked: replacing every `a` would hide everything and protect nothing. So none is given
/// to a service.
pub const MASK_MIN: usize = 4;

/// Secrets that are taken out of text.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    secrets: Vec<SecretString>,
}

impl Mask {
    /// From now on these values print as `***`.
    pub fn add(&mut self, values: impl IntoIterator<Item = SecretString>) {
        self.secrets.extend(values.into_iter().filter(|value| value.expose_secret().len() >= MASK_MIN));
        // A longer one may hold a shorter one.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        self.secrets.dedup_by(|a, b| a.expose_secret() == b.expose_secret());
    }

    /// The text with every known secret masked, also where it was broken into lines.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            for part in std::iter::once(secret.expose_secret()).chain(secret.expose_secret().lines()) {
                if part.len() >= MASK_MIN {
                    text = text.replace(part, "***");
                }
            }
        }
        text
    }

    /// The same for a text that may have been cut short and then ends in `…`: there, also the beginning of a secret goes.
    pub fn apply_cut(&self, text: &str) -> String {
        let text = self.apply(text);
        let Some(cut) = text.strip_suffix('…') else { return text };
        let begins = |secret: &SecretString| {
            let secret = secret.expose_secret();
            let ends = secret.char_indices().map(|(end, _)| end).filter(|end| *end >= MASK_MIN);
            ends.rev().find(|end| cut.ends_with(&secret[..*end]))
        };
        match self.secrets.iter().filter_map(begins).max() {
            Some(length) => format!("{}***…", &cut[..cut.len() - length]),
            None => text,
        }
    }
}

/// The values that secrets have in what runs, where `held` tells which leaves are secrets: what a replica prints may
/// hold them, also those of an earlier release.
pub fn running_secrets(
    services: &BTreeMap<ServiceName, LiveService>,
    held: impl Fn(&ServiceName, &FieldPath) -> bool,
) -> Vec<SecretString> {
    let mut found = Vec::new();
    for (name, service) in services {
        for (field, leaf) in service.replicas.iter().flat_map(|replica| &replica.leaves) {
            if let (FieldPath::Env(_), Some(Value::Text(text))) = (field, leaf.known().map(|leaf| &leaf.value))
                && held(name, field)
            {
                found.push(SecretString::from(text.as_str()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn a_secret_within_another_leaves_nothing_of_either() {
        let mut mask = Mask::default();
        mask.add(["hunter".to_owned().into(), "hunter-and-more".to_owned().into(), "abc".to_owned().into()]);
        assert_eq!(mask.apply("hunter-and-more, hunter, abc"), "***, ***, abc");
    }

    #[test]
    fn what_is_cut_short_shows_no_beginning_of_a_secret() {
        let mut mask = Mask::default();
        mask.add(["hunter-and-more".to_owned().into()]);
        assert_eq!(mask.apply_cut("it said hunter-and…"), "it said ***…");
        assert_eq!(mask.apply_cut("hunter-and-more, hun…"), "***, hun…");
        assert_eq!(mask.apply_cut("it said hunter"), "it said hunter", "it was not cut");
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_line_by_line() {
        let mut mask = Mask::default();
        mask.add(["-----BEGIN-----\nAAAABBBB\n".to_owned().into()]);
        assert_eq!(mask.apply("it said AAAABBBB"), "it said ***");
    }
}
