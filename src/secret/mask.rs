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

/// Stands where text was cut short before it was masked.
pub const CUT: char = '…';

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

    /// The text with every known secret masked, also where it was broken into lines, or cut short at a [`CUT`].
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for part in self.parts() {
            text = text.replace(part, "***");
        }
        if !text.contains(CUT) {
            return text;
        }
        let pieces: Vec<&str> = text.split(CUT).collect();
        let (last, cut) = pieces.split_last().map_or(("", &[][..]), |(last, cut)| (*last, cut));
        cut.iter().map(|piece| self.without_beginning(piece) + "…").chain([last.to_owned()]).collect()
    }

    /// What is looked for: each secret as a whole, and each of its lines.
    fn parts(&self) -> impl Iterator<Item = &str> {
        let all = self.secrets.iter().map(ExposeSecret::expose_secret);
        all.flat_map(|secret| std::iter::once(secret).chain(secret.lines())).filter(|part| part.len() >= MASK_MIN)
    }

    /// A text that was cut, without the beginning of a secret that it may end with.
    fn without_beginning(&self, text: &str) -> String {
        let beginning = |part: &str| {
            let ends = part.char_indices().map(|(at, _)| at).filter(|at| *at >= MASK_MIN);
            ends.rev().find(|at| text.ends_with(&part[..*at]))
        };
        match self.parts().filter_map(beginning).max() {
            Some(length) => format!("{}***", &text[..text.len() - length]),
            None => text.to_owned(),
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
    fn a_secret_that_was_cut_short_is_masked_as_far_as_it_stands_there() {
        let mut mask = Mask::default();
        mask.add(["hunter-and-more".to_owned().into(), "ünter-secret".to_owned().into()]);
        assert_eq!(mask.apply("it said hunter-and…; nothing was begun"), "it said ***…; nothing was begun");
        assert_eq!(mask.apply("it said hunter-and-more…"), "it said ***…");
        assert_eq!(mask.apply("it said ünter-s…, … and hunter"), "it said ***…, … and hunter");
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_line_by_line() {
        let mut mask = Mask::default();
        mask.add(["-----BEGIN-----\nAAAABBBB\n".to_owned().into()]);
        assert_eq!(mask.apply("it said AAAABBBB"), "it said ***");
    }
}
