//! `trueup why`: one field: what is declared, what was last applied, what runs, and since when they differ.

use std::str::FromStr;

use clap::Args;

use crate::cli::args::Context;
use crate::cli::client::ClientError;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::Tone;
use crate::cli::when::Viewpoint;
use crate::cli::{Outcome, missing};
use crate::http::dto::WhyView;
use crate::ids::{EnvironmentName, EnvironmentRef, InvalidId, ProjectName, ServiceName};
use crate::live::field::{FieldPath, UnknownField};

/// One field: what is declared, last applied and running
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trueup why shop/production/web.resources.memory_limit
  trueup why shop/production/web.env.LOG_LEVEL
  trueup why 'shop/production/web.ports[\"8080/tcp\"]'
  trueup why 'shop/production/web.labels[\"com.acme.team\"]'

Exit codes: 0 in sync, 2 drift, 1 error, or it could not be seen.")]
pub(super) struct Why {
    /// The field, as reports write it: PROJECT/ENVIRONMENT/SERVICE.FIELD
    #[arg(value_name = "ADDRESS")]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    environment: EnvironmentRef,
    service: ServiceName,
    field: FieldPath,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "write PROJECT/ENVIRONMENT/SERVICE.FIELD, such as shop/production/web.image".to_owned();
        let invalid = |error: InvalidId| error.to_string();
        // A field's key may hold slashes and dots itself; what comes before it cannot.
        let mut parts = text.splitn(3, '/');
        let (Some(project), Some(environment), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(shape());
        };
        let (service, field) = rest.split_once('.').ok_or_else(shape)?;
        let project: ProjectName = project.parse().map_err(invalid)?;
        let environment: EnvironmentName = environment.parse().map_err(invalid)?;
        Ok(Address {
            environment: EnvironmentRef { project, environment },
            service: service.parse().map_err(invalid)?,
            field: field.parse().map_err(|error: UnknownField| error.to_string())?,
        })
    }
}

/// Asks and shows.
pub(super) async fn run(verb: &Why, context: Context<'_>) -> anyhow::Result<Outcome> {
    let Address { environment, service, field } = &verb.address;
    let path = format!(
        "/projects/{}/environments/{}/why/{service}/{}",
        environment.project,
        environment.environment,
        escape(&field.to_string())
    );
    let reply: Result<WhyView, ClientError> = context.client.get(&path).await;
    let view = match reply {
        Ok(view) => view,
        Err(error) => {
            return Err(missing::explain_service(&context.client, environment, service.as_str(), error).await);
        }
    };
    if verb.json {
        context.terminal.json(&view)?;
    } else {
        let text = table(&view, &Viewpoint::of_process()).render(context.terminal.colour());
        context.terminal.text(text.trim_start_matches('\n'))?;
    }
    Ok(verdict(&view))
}

/// What could not be compared is not in sync for that.
fn verdict(why: &WhyView) -> Outcome {
    match (why.cause, &why.unknown) {
        (Some(_), _) => Outcome::Drift,
        (None, Some(_)) => Outcome::Unclear,
        (None, None) => Outcome::Done,
    }
}

/// A path segment: everything but unreserved characters as `%XX` (RFC 3986, section 2.3).
fn escape(segment: &str) -> String {
    segment
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn table(why: &WhyView, view: &Viewpoint) -> Table {
    let mut table = Table::new(&[]);
    let mut fact = |name: &str, cell: Cell| table.row(vec![Cell::new(Tone::Dim, name), cell]);
    fact("field", Cell::new(Tone::Strong, &why.address));
    fact(
        "declared",
        Cell::plain(match &why.declared {
            Some(declared) => {
                let at = declared.at.as_ref().map(|at| format!("{}:{}", at.file, at.line)).unwrap_or_default();
                let commit = declared.commit.as_ref().map(|commit| format!("@{}", commit.short())).unwrap_or_default();
                format!("{}  ({at}{commit})", declared.value)
            }
            None => "not declared: unmanaged, never touched".to_owned(),
        }),
    );
    fact(
        "base",
        Cell::plain(match &why.base {
            Some(base) => {
                let run = base.run.map_or_else(|| "found in sync".to_owned(), |run| format!("applied by run {run}"));
                let commit = base.commit.as_ref().map(|commit| format!(" at {}", commit.short())).unwrap_or_default();
                format!("{}  ({run}{commit}, verified {})", base.value, view.both(base.verified_at))
            }
            None => "never applied".to_owned(),
        }),
    );
    fact("live", Cell::plain(&why.live));
    fact(
        "cause",
        match (why.cause, &why.unknown) {
            (Some(cause), _) => Cell::new(Tone::Warn, format!("{}: {}", cause.word(), cause.meaning())),
            (None, Some(_)) => Cell::new(Tone::Warn, "unknown: it could not be compared"),
            (None, None) => Cell::new(Tone::Good, "none: in sync"),
        },
    );
    if let Some(since) = why.since {
        fact("since", Cell::plain(view.both(since)));
    }
    if let Some(rule) = why.rule {
        fact("rule", Cell::plain(format!("counts as the same: {}", rule.words())));
    }
    if let Some(unknown) = &why.unknown {
        fact("unknown", Cell::plain(unknown));
    }
    if let Some(seen) = why.seen_at {
        fact("seen", Cell::plain(view.both(seen)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Address, escape, table, verdict};
    use crate::cli::Outcome;
    use crate::cli::when::Viewpoint;
    use crate::drift::Cause;
    use crate::http::dto::WhyView;

    #[test]
    fn addresses_are_what_reports_print() {
        for text in [
            "shop/production/web.resources.memory_limit",
            "shop/production/web.env.LOG_LEVEL",
            "shop/production/web.ports[\"8080/tcp\"]",
            "shop/production/web.labels[\"com.acme/team\"]",
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(format!("{}/{}.{}", address.environment, address.service, address.field), text);
        }
        for text in ["shop", "shop/production", "shop/production/web", "shop/production/web.nothing", "a/b/C.image"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_is_one_path_segment() {
        assert_eq!(escape("ports[\"8080/tcp\"]"), "ports%5B%228080%2Ftcp%22%5D");
        assert_eq!(escape("resources.memory_limit"), "resources.memory_limit");
    }

    #[test]
    fn what_could_not_be_compared_is_not_in_sync() {
        let view = |cause, unknown: Option<&str>| WhyView {
            address: "shop/production/web.image".into(),
            declared: None,
            base: None,
            live: "(unknown: connection refused)".into(),
            cause,
            since: None,
            unknown: unknown.map(Into::into),
            seen_at: None,
            rule: None,
        };
        for (cause, unknown, outcome, says) in [
            (None, None, Outcome::Done, "none: in sync"),
            (None, Some("connection refused"), Outcome::Unclear, "unknown: it could not be compared"),
            (Some(Cause::Repo), Some("one replica: gone"), Outcome::Drift, "repo: "),
        ] {
            let view = view(cause, unknown);
            let text = table(&view, &Viewpoint::of_process()).render(false);
            assert_eq!(verdict(&view), outcome, "{text}");
            assert!(text.contains(says) && text.contains(unknown.unwrap_or_default()), "{text}");
        }
    }
}
