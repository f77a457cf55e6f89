//! `{{ .Name }}` inside a scalar: names and dots, nothing else; substituted once, never again in the result.

use crate::declared::file::Context;
use crate::declared::problem::Wrong;
use crate::declared::suggest;
use crate::ids::SourceHash;

/// The most that a scalar with templates may come to, in bytes.
const MAX_FILLED: usize = 16 * 1024;

/// A scalar's text with its templates found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

/// A piece of a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Name(Variable),
}

/// What can be substituted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Source,
    Commit,
    ShortCommit,
    Branch,
    Tag,
    Version,
    Project,
    Environment,
    Env(String),
}

/// The fixed names, as the documentation writes them.
pub(crate) const NAMES: [(&str, Variable); 8] = [
    ("Source", Variable::Source),
    ("Commit", Variable::Commit),
    ("ShortCommit", Variable::ShortCommit),
    ("Branch", Variable::Branch),
    ("Tag", Variable::Tag),
    ("Version", Variable::Version),
    ("Project", Variable::Project),
    ("Environment", Variable::Environment),
];

impl Variable {
    fn parse(inside: &str) -> Result<Variable, Wrong> {
        let written = inside.trim();
        let name = written.strip_prefix('.').unwrap_or(written);
        let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        if !valid {
            return Err(Wrong::new("between `{{` and `}}` stands one name, such as `{{ .Source }}`")
                .help("there are no functions, pipes or conditions; for a literal `{{`, write `{{ \"{{\" }}`"));
        }
        // `{{ name }}` means `{{ .Name }}`: neither case nor underscores matter in the fixed part.
        let fold = |text: &str| text.replace('_', "").to_ascii_lowercase();
        if let Some((_, variable)) = NAMES.iter().find(|(known, _)| fold(known) == fold(name)) {
            return Ok(variable.clone());
        }
        match name.split_once('.') {
            Some((env, key)) if env.eq_ignore_ascii_case("env") && !key.is_empty() && !key.contains('.') => {
                Ok(Variable::Env(key.to_owned()))
            }
            _ => {
                let shown: String = name.chars().take(40).collect();
                let wrong = Wrong::new(format!("`{{{{ .{shown} }}}}` is not defined"));
                Err(match suggest::nearest(name, NAMES.iter().map(|(known, _)| *known)) {
                    Some(known) => wrong.help(format!("did you mean `{{{{ .{known} }}}}`?")),
                    None => wrong.help(format!(
                        "defined are {} and Env.X for the values that the operator set",
                        NAMES.map(|(known, _)| known).join(", ")
                    )),
                })
            }
        }
    }

    /// How it is written, in one spelling.
    pub(crate) fn written(&self) -> String {
        match self {
            Variable::Env(key) => format!("{{{{ .Env.{key} }}}}"),
            fixed => {
                let name = NAMES.iter().find(|(_, known)| known == fixed).map_or("", |(name, _)| name);
                format!("{{{{ .{name} }}}}")
            }
        }
    }

    /// Whether the repo decides its value; the operator decides the others'.
    fn is_repo_input(&self) -> bool {
        match self {
            Variable::Source
            | Variable::Commit
            | Variable::ShortCommit
            | Variable::Branch
            | Variable::Tag
            | Variable::Version => true,
            Variable::Project | Variable::Environment | Variable::Env(_) => false,
        }
    }
}

/// What is substituted: the context, and the hash of the service's source where it is known.
pub(crate) struct Scope<'a> {
    pub(crate) context: &'a Context,
    pub(crate) source: Option<SourceHash>,
}

/// A scalar after substitution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) value: String,
    /// What the repo wrote: its own inputs substituted, the operator's left as templates.
    pub(crate) written: String,
    /// The repo's own inputs that were substituted.
    pub(crate) inputs: Vec<String>,
    /// Whether the commit itself is among them.
    pub(crate) uses_commit: bool,
}

impl Template {
    /// Finds the templates of a scalar.
    pub(crate) fn parse(text: &str) -> Result<Template, Wrong> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            literal.push_str(&rest[..at]);
            let inside = &rest[at + 2..];
            if let Some(after) = escaped_braces(inside) {
                literal.push_str("{{");
                rest = after;
                continue;
            }
            let end = inside.find("}}").ok_or_else(|| {
                Wrong::new("`{{` is never closed").help("write `{{ .Name }}`; for a literal `{{`, write `{{ \"{{\" }}`")
            })?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Name(Variable::parse(&inside[..end])?));
            rest = &inside[end + 2..];
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template { parts })
    }

    /// Whether nothing is to be substituted.
    pub(crate) fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Whether `variable` is to be substituted.
    pub(crate) fn mentions(&self, variable: &Variable) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Name(name) if name == variable))
    }

    /// Substitutes.
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> Result<Filled, Wrong> {
        let mut filled = Filled::default();
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    filled.value.push_str(text);
                    filled.written.push_str(text);
                }
                Part::Name(variable) => {
                    let value = scope.value(variable)?;
                    filled.uses_commit |= match variable {
                        Variable::Commit | Variable::ShortCommit => true,
                        Variable::Version => scope.context.version.is_none(),
                        Variable::Source
                        | Variable::Branch
                        | Variable::Tag
                        | Variable::Project
                        | Variable::Environment
                        | Variable::Env(_) => false,
                    };
                    if variable.is_repo_input() {
                        filled.written.push_str(&value);
                        filled.inputs.push(value.clone());
                    } else {
                        filled.written.push_str(&variable.written());
                    }
                    filled.value.push_str(&value);
                    if filled.value.len() > MAX_FILLED {
                        let wrong = format!("this has more than {MAX_FILLED} bytes, its templates substituted");
                        return Err(Wrong::new(wrong).help("substitute less, or shorter values"));
                    }
                }
            }
        }
        Ok(filled)
    }
}

/// What follows ` "{{" }}`, Go's way to write two literal braces.
fn escaped_braces(inside: &str) -> Option<&str> {
    inside.trim_start().strip_prefix("\"{{\"")?.trim_start().strip_prefix("}}")
}

impl Scope<'_> {
    fn value(&self, variable: &Variable) -> Result<String, Wrong> {
        let context = self.context;
        let undefined = |why: &str| {
            Wrong::new(format!("`{}` is not defined here: {why}", variable.written()))
                .help("write the value itself, or `{{ .ShortCommit }}` for what differs from commit to commit")
        };
        let outside = || {
            undefined("the file was not read at a commit of a repository")
                .help("plan from the repository: `trueup plan PROJECT/ENVIRONMENT`")
        };
        let commit = || context.commit.as_ref().ok_or_else(outside);
        match variable {
            Variable::Source => match &self.source {
                Some(hash) => Ok(hash.short().to_owned()),
                None => Err(outside()),
            },
            Variable::Commit => Ok(commit()?.as_str().to_owned()),
            Variable::ShortCommit => Ok(commit()?.short().to_owned()),
            Variable::Version => match &context.version {
                Some(version) => Ok(version.clone()),
                None => Ok(commit()?.short().to_owned()),
            },
            Variable::Branch => context.branch.clone().ok_or_else(|| undefined("what is planned is no branch")),
            Variable::Tag => context.tag.clone().ok_or_else(|| undefined("what is planned is no tag")),
            Variable::Project => Ok(context.project.to_string()),
            Variable::Environment => Ok(context.environment.to_string()),
            Variable::Env(key) => context.values.get(key).cloned().ok_or_else(|| {
                let wrong = undefined(&format!("the environment `{}` has no value `{key}`", context.environment));
                match suggest::nearest(key, context.values.keys().map(String::as_str)) {
                    Some(known) => wrong.help(format!("did you mean `{{{{ .Env.{known} }}}}`?")),
                    None => wrong.help(format!(
                        "an operator sets it with `trueup env set {}/{} --value {key}=…`",
                        context.project, context.environment
                    )),
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, Template};
    use crate::declared::file::Context;

    fn context() -> Context {
        let mut context = Context::new("shop".parse().expect("name"), "production".parse().expect("name"));
        context.commit = Some("0123456789abcdef0123456789abcdef01234567".parse().expect("sha"));
        context.branch = Some("main".to_owned());
        context.values.insert("DOMAIN".to_owned(), "acme.dev {{ .Commit }}".to_owned());
        context
    }

    fn fill(text: &str) -> Result<(String, String), String> {
        let context = context();
        let scope = Scope { context: &context, source: None };
        let filled = Template::parse(text).and_then(|template| template.fill(&scope)).map_err(|wrong| wrong.message)?;
        Ok((filled.value, filled.written))
    }

    #[test]
    fn substitutes_once_and_keeps_the_operators_templates_in_what_was_written() {
        let both = |text: &str| Ok((text.to_owned(), text.to_owned()));
        assert_eq!(fill("plain } text {"), both("plain } text {"));
        assert_eq!(fill(""), both(""));
        assert_eq!(fill("a-{{ .ShortCommit }}-{{branch}}"), both("a-01234567-main"));
        assert_eq!(fill("{{ short_commit }}{{ .Version }}"), both("0123456701234567"));
        assert_eq!(fill("{{ \"{{\" }}.State}}"), both("{{.State}}"));
        // The value holds braces of its own, and they stay as they are.
        assert_eq!(
            fill("x.{{ .Env.DOMAIN }}"),
            Ok(("x.acme.dev {{ .Commit }}".to_owned(), "x.{{ .Env.DOMAIN }}".to_owned()))
        );
    }

    #[test]
    fn what_is_not_defined_is_an_error() {
        for text in
            ["{{ .Tag }}", "{{ .Source }}", "{{ .Env.NOPE }}", "{{ .Comit }}", "{{ .Commit | upper }}", "{{", "{{}}"]
        {
            assert!(fill(text).is_err(), "{text}");
        }
    }
}
