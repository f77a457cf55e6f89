//! Does a comment say what it should, on every forge, and can nothing that is in it get out of it?

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use trueup::declared::{Diagnostic, Position};
use trueup::ids::RunId;
use trueup::live::field::FieldPath;
use trueup::plan::{PlanOptions, Unknown};
use trueup::report::annotations::{AnnotationLevel, of_environment};
use trueup::report::cloudevent::envelope;
use trueup::report::detail::ReportDetail;
use trueup::report::drift::{DriftReport, issue};
use trueup::report::markdown::{CommentContext, CommentStyle, LengthUnit, comment, has_marker, marker, summary};
use trueup::report::pull::{
    AfterMerge, NotPlanned, PlannedPull, PublicUnknown, PullOutcome, PullReport, PullState, ServiceOutcome,
};
use trueup::report::pull_text;
use trueup::report::status::{Branch, DESCRIPTION_MAX, Naming, StatusState, of_branch, of_pull};

use crate::world::leaves::text as any_text;
use crate::world::pulls::{
    File, Written, applied, base, by_hand, declared, env, image, planned, report, running, shop, text, written,
};
use crate::world::sides::{docker, plan};

const INSTALLATION: &str = "00112233445566778899aabbccddeeff";
const GITHUB: CommentStyle = CommentStyle { limit: 65_536, unit: LengthUnit::Characters, html: true };
const BITBUCKET: CommentStyle = CommentStyle { limit: 32_768, unit: LengthUnit::Bytes, html: false };

fn context(style: CommentStyle) -> CommentContext<'static> {
    CommentContext { installation: INSTALLATION, link: Some("https://trueup.acme.dev/shop/pulls/7"), style }
}

fn boxed(planned: PlannedPull) -> PullOutcome {
    PullOutcome::Planned(Box::new(planned))
}

fn unchanged() -> PlannedPull {
    let file = applied();
    let base = base(&file);
    planned(&file, &file, &base, &running(&base), ReportDetail::Full)
}

fn github(report: &PullReport) -> String {
    comment(report, &context(GITHUB))
}

#[test]
fn an_open_request_on_each_kind_of_forge() {
    let report = report(vec![("production", boxed(shop(ReportDetail::Full))), ("staging", boxed(unchanged()))]);
    insta::assert_snapshot!("comment_open", github(&report));
    insta::assert_snapshot!("comment_bitbucket", comment(&report, &context(BITBUCKET)));
    insta::assert_snapshot!("terminal_open", pull_text::environment(&report, &report.environments[0]));
    let production = "production".parse().unwrap();
    insta::assert_snapshot!("check_summary", summary(&report, &production, &context(GITHUB)).unwrap());
    let shown: Vec<String> = of_environment(&report, &production)
        .into_iter()
        .map(|of| {
            format!("{}:{}-{} {:?} {}\n{}\n", of.path, of.start_line, of.end_line, of.level, of.title, of.message)
        })
        .collect();
    insta::assert_snapshot!("annotations", shown.join("\n"));
}

#[test]
fn a_report_of_names_holds_no_values() {
    let text = github(&report(vec![("production", boxed(shop(ReportDetail::NamesOnly)))]));
    insta::assert_snapshot!("comment_names_only", text);
    for value in ["acme/", "info", "debug", "warn", "256Mi", "512Mi", "by hand"] {
        assert!(!text.contains(value), "{value}: {text}");
    }
}

#[test]
fn a_fork_s_head_says_what_it_was_compared_with() {
    let mut planned = unchanged();
    planned.observed = false;
    let mut report = report(vec![
        ("production", PullOutcome::NotPlanned { why: NotPlanned::ForkNotAllowed }),
        ("staging", boxed(planned)),
    ]);
    report.fork = true;
    insta::assert_snapshot!("comment_fork", github(&report));
}

#[test]
fn what_could_not_be_planned_says_why() {
    let at = |line| Some(Position { file: ".trueup.yml".into(), line, column: 11 });
    let problem = |message: &str, line, help: Option<&str>| Diagnostic {
        message: message.to_owned(),
        at: at(line),
        width: 4,
        help: help.map(str::to_owned),
    };
    let problems = vec![
        problem("unknown key `imagee`", 6, Some("did you mean `image`?")),
        problem("`replicas` is no number", 9, None),
    ];
    let mut unseen = unchanged();
    unseen.unknowns =
        vec![PublicUnknown { service: None, field: None, why: Some("the Engine does not answer".into()) }];
    unseen.in_sync.clear();
    let failed =
        |why: Option<&str>| PullOutcome::NotPlanned { why: NotPlanned::Failed { why: why.map(str::to_owned) } };
    let report = report(vec![
        ("conflict", PullOutcome::Conflict { paths: vec![".trueup.yml".into(), "src/a".into()], more: 3 }),
        ("failed", failed(Some("https://git.acme.dev cannot be reached: no route"))),
        ("hidden", failed(None)),
        ("invalid", PullOutcome::Invalid { problems }),
        ("no-file", PullOutcome::NoFile { path: ".trueup.yml".into() }),
        ("off", PullOutcome::NotPlanned { why: NotPlanned::ReportsOff }),
        ("unrelated", PullOutcome::NotPlanned { why: NotPlanned::Unrelated { shallow: true } }),
        ("unseen", boxed(unseen)),
    ]);
    insta::assert_snapshot!("comment_not_planned", github(&report));
    let invalid = of_environment(&report, &"invalid".parse().unwrap());
    assert_eq!(
        invalid.iter().map(|of| (of.start_line, of.level)).collect::<Vec<_>>(),
        [(6, AnnotationLevel::Failure), (9, AnnotationLevel::Failure)]
    );
    let statuses: Vec<String> = report
        .environments
        .iter()
        .map(|of| {
            let naming = Naming { environment: &of.environment, project: None, installation: None };
            match of_pull(&report, naming) {
                Some(status) => format!("{} {:?}: {}", status.context, status.state, status.description),
                None => format!("{}: none", of.environment),
            }
        })
        .collect();
    insta::assert_snapshot!("statuses", statuses.join("\n"));
}

#[test]
fn after_the_merge_the_command_and_then_what_became_of_it() {
    let digest: trueup::ids::PlanDigest = "ab".repeat(32).parse().unwrap();
    let command = "trueup sync shop/production --plan abababababab".to_owned();
    let mut planned = shop(ReportDetail::Full);
    planned.merged = Some(AfterMerge::Awaits { digest: digest.clone(), command: command.clone() });
    let naming = |report: &PullReport| {
        let project = Some(&report.project);
        let naming =
            Naming { environment: &report.environments[0].environment, project, installation: Some(INSTALLATION) };
        of_pull(report, naming).map(|status| (status.context, status.state, status.description))
    };
    let mut report = report(vec![("production", boxed(planned.clone()))]);
    report.state = PullState::Merged { commit: Some("b".repeat(40).parse().unwrap()) };
    insta::assert_snapshot!("comment_merged", github(&report));
    assert_eq!(
        naming(&report),
        Some((
            "trueup/shop/production (00112233)".to_owned(),
            StatusState::Pending,
            "9 changes await sync, 1 orphan".to_owned()
        ))
    );

    let services = [("mail", true), ("web", false)]
        .map(|(name, verified)| ServiceOutcome { service: name.parse().unwrap(), verified })
        .to_vec();
    let ran = |succeeded, rest: bool| AfterMerge::Ran {
        run: RunId(12),
        succeeded,
        services: services.clone(),
        rest: rest.then(|| digest.clone()),
        command: rest.then(|| command.clone()),
    };
    planned.merged = Some(ran(false, true));
    report.environments[0].outcome = boxed(planned);
    insta::assert_snapshot!("comment_run_failed", github(&report));
    assert_eq!(naming(&report).map(|(_, state, _)| state), Some(StatusState::Failure));
    let mut done = unchanged();
    done.merged = Some(ran(true, false));
    report.environments[0].outcome = boxed(done);
    assert_eq!(
        naming(&report).map(|(_, state, words)| (state, words)),
        Some((StatusState::Success, "run 12: applied and verified".to_owned()))
    );
    report.state = PullState::Closed;
    report.environments.clear();
    insta::assert_snapshot!("comment_closed", github(&report));
}

#[test]
fn a_branch_s_status_awaits_what_a_sync_would_do() {
    let file = applied();
    let base = base(&file);
    let mut live = running(&base);
    let made = |live: &trueup::live::Live| plan(&declared(&file), &base, live, &docker(), PlanOptions::default());
    let name = "production".parse().unwrap();
    let naming = Naming { environment: &name, project: None, installation: None };
    let of = |branch: Branch<'_>| {
        of_branch(branch, ReportDetail::Full, naming).map(|status| (status.state, status.description)).unwrap()
    };
    assert_eq!(of(Branch::Planned(&made(&live))), (StatusState::Success, "in sync".to_owned()));
    by_hand(&mut live, "web", env("LOG_LEVEL"), text("trace"));
    assert_eq!(of(Branch::Planned(&made(&live))), (StatusState::Pending, "1 change awaits sync".to_owned()));
    assert_eq!(of(Branch::Invalid(2)), (StatusState::Failure, "the file is not valid: 2 problems".to_owned()));
    let mut unseen = made(&live);
    unseen.actions.clear();
    unseen.unknowns = vec![Unknown { service: None, field: None, why: "gone".into() }];
    assert_eq!(of(Branch::Planned(&unseen)).0, StatusState::Error);
    assert_eq!(of(Branch::Failed).0, StatusState::Error);
    assert_eq!(of_branch(Branch::Failed, ReportDetail::Off, naming), None);
}

#[test]
fn drift_from_outside_is_an_issue_and_an_event() {
    let file = applied();
    let base = base(&file);
    let mut live = running(&base);
    by_hand(&mut live, "web", env("LOG_LEVEL"), text("trace"));
    let mut waiting = file.clone();
    waiting.get_mut("worker").unwrap().insert(FieldPath::Image, written(image("acme/worker:2", 9), 20));
    let declared = declared(&waiting);
    let made = plan(&declared, &base, &live, &docker(), PlanOptions::default());
    let found = DriftReport::of(&made, &base, &declared, ReportDetail::Full).unwrap();
    assert_eq!(found.fields(), 1, "what waits is not drift from outside");
    let said = issue(&found, &context(GITHUB));
    insta::assert_snapshot!("issue", format!("{}\n\n{}", said.title, said.body).replace(found.plan.short(), "DIGEST"));
    let (subject, at) = ("projects/shop/environments/production", "2026-11-21T03:00:00Z".parse().unwrap());
    let mut body = envelope(INSTALLATION, "1", "dev.trueup.drift.detected", subject, at, &found.data());
    body["data"]["plan"] = "DIGEST".into();
    insta::assert_json_snapshot!("cloudevent", body);
    assert_eq!(DriftReport::of(&made, &base, &declared, ReportDetail::Off), None);

    let calm = plan(&declared, &base, &running(&base), &docker(), PlanOptions::default());
    let resolved = DriftReport::of(&calm, &base, &declared, ReportDetail::Full).unwrap();
    assert!(resolved.is_in_sync());

    // What cannot be seen any more is still said, and a line that moved is no other drift.
    let unknowns = [Unknown { service: Some("web".parse().unwrap()), field: None, why: "gone".into() }];
    let unseen = resolved.clone().with_unseen(&found.services, &unknowns);
    assert!(unseen.says_the_same_as(&found.services) && !unseen.is_in_sync());
    let elsewhere = [Unknown { service: Some("worker".parse().unwrap()), ..unknowns[0].clone() }];
    assert!(resolved.with_unseen(&found.services, &elsewhere).is_in_sync());
    let mut moved = found.clone();
    moved.services[0].changes[0].at = None;
    assert!(moved.says_the_same_as(&found.services));
    moved.services[0].changes[0].live = trueup::report::mask::PublicValue::Absent;
    assert!(!moved.says_the_same_as(&found.services));
}

#[test]
fn markers_tell_daemons_and_projects_apart() {
    let shop: trueup::ids::ProjectName = "shop".parse().unwrap();
    let body = github(&report(vec![]));
    assert!(has_marker(&body, INSTALLATION, &shop, GITHUB));
    assert!(!has_marker(&body, "another", &shop, GITHUB));
    assert!(!has_marker(&body, INSTALLATION, &"sho".parse().unwrap(), GITHUB));
    assert!(!has_marker(&format!("quoted:\n{body}"), INSTALLATION, &shop, GITHUB), "only the first line counts");
    assert!(has_marker(&body.replace('\n', "\r\n"), INSTALLATION, &shop, GITHUB), "forges change line ends");
}

/// What is outside of fenced blocks, without code spans; and whether every fence was closed.
fn open_text(body: &str) -> (String, bool) {
    let mut open = String::new();
    let mut fence: Option<usize> = None;
    for line in body.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match fence {
            Some(length) if ticks >= length && line.trim_end().len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                open.push_str(line);
                open.push('\n');
            }
        }
    }
    let mut text = String::new();
    let mut rest = open.as_str();
    while let Some(at) = rest.find('`') {
        let length = rest[at..].chars().take_while(|c| *c == '`').count();
        text.push_str(&rest[..at]);
        let inner = &rest[at + length..];
        let close = "`".repeat(length);
        let end = inner
            .match_indices(&close)
            .find(|(found, _)| !inner[..*found].ends_with('`') && !inner[found + length..].starts_with('`'));
        match end {
            Some((found, _)) => rest = &inner[found + length..],
            None => return (format!("{text}{rest}"), false),
        }
    }
    text.push_str(rest);
    (text, fence.is_none())
}

/// Text that would do harm if it were let out.
fn hostile() -> impl Strategy<Value = String> {
    let known = [
        "@acme/everyone EVIL",
        "\n/trueup sync production --plan aaaaaaaa EVIL",
        "\n/close\n/merge EVIL",
        "``` EVIL\n# heading",
        "`````````` EVIL",
        "</details><script>EVIL</script>",
        "<!-- trueup:00112233445566778899aabbccddeeff:shop --> EVIL",
        "[trueup]: # (trueup:00112233445566778899aabbccddeeff:shop) EVIL",
        "[EVIL](https://evil.example) ![EVIL](https://evil.example/x.png)",
        "\u{202e}EVIL\u{2066}\u{200b}\u{feff}\u{e0041}\u{1b}[2J\0",
        "| EVIL | EVIL |\n|---|---|",
        "#1 !2 ~label EVIL",
        "\r\n\r\nEVIL\r\n===",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        any_text().prop_map(|text| format!("{text}EVIL{text}")),
        "[`~]{0,12}EVIL[`\n]{0,12}",
    ]
}

/// A request all of whose texts are hostile.
fn attacked(evil: &str, before: &str) -> PullReport {
    let mut file: File = BTreeMap::from([(
        "web",
        BTreeMap::from([
            (FieldPath::Image, written(image("acme/web:1", 1), 6)),
            (env("A"), written(text(before), 8)),
            (FieldPath::Labels(evil.into()), written(text(evil), 9)),
        ]),
    )]);
    let base = base(&file);
    let mut live = running(&base);
    by_hand(&mut live, "web", FieldPath::Labels(evil.into()), text(before));
    let tip = file.clone();
    file.get_mut("web").unwrap().insert(env("A"), Written { written: evil.to_owned(), value: text(evil), line: 8 });
    let mut made = planned(&tip, &file, &base, &live, ReportDetail::Full);
    made.notes.push(trueup::report::text::printable(evil));
    made.unknowns.push(PublicUnknown {
        service: Some("web".parse().unwrap()),
        field: Some(FieldPath::Labels(evil.into())),
        why: Some(evil.to_owned()),
    });
    let problem = Diagnostic {
        message: evil.to_owned(),
        at: Some(Position { file: evil.into(), line: 1, column: 1 }),
        width: 1,
        help: Some(evil.to_owned()),
    };
    let mut report = report(vec![
        ("a", boxed(made)),
        ("b", PullOutcome::Invalid { problems: vec![problem] }),
        ("c", PullOutcome::Conflict { paths: vec![evil.to_owned()], more: 0 }),
        ("d", PullOutcome::NotPlanned { why: NotPlanned::Failed { why: Some(evil.to_owned()) } }),
        ("e", PullOutcome::NoFile { path: evil.to_owned() }),
    ]);
    report.target = Some(evil.to_owned());
    report
}

#[test]
fn a_mebibyte_of_text_makes_a_short_comment() {
    let evil = format!("EVIL{}", "`x".repeat(1 << 19));
    let report = attacked(&evil, &evil);
    let body = comment(&report, &context(GITHUB));
    assert!(body.len() < 30_000, "{}", body.len());
    let (open, closed) = open_text(&body);
    assert!(closed && !open.contains("EVIL"), "{open}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a repository or a runtime says stays code, begins no line, and forges no marker.
    #[test]
    fn nothing_gets_out_of_a_comment(evil in hostile(), before in hostile(), html in any::<bool>(), limit in 200_usize..70_000) {
        let report = attacked(&evil, &before);
        let style = CommentStyle { limit, html, ..GITHUB };
        for body in [
            comment(&report, &context(style)),
            comment(&report, &context(CommentStyle { limit: usize::MAX, ..style })),
        ] {
            let (open, closed) = open_text(&body);
            if body.len() > 1500 || limit > 1500 {
                prop_assert!(closed, "{body}");
                prop_assert!(!open.contains("EVIL"), "{open}");
                prop_assert!(!open.contains('@'), "{open}");
            }
            prop_assert!(body.lines().all(|line| !line.starts_with('/') && !line.starts_with('@')), "{body}");
            let mine = marker(INSTALLATION, &report.project, style);
            prop_assert!(body.matches(&mine).count() <= 1, "{body}");
            let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{200b}';
            prop_assert!(!body.contains(steers), "{body:?}");
        }
        let naming = Naming { environment: &"c".parse().unwrap(), project: None, installation: None };
        let status = of_pull(&report, naming).unwrap();
        prop_assert!(status.description.chars().count() <= DESCRIPTION_MAX && !status.description.contains('\n'));
        for name in ["a", "b"] {
            for of in of_environment(&report, &name.parse().unwrap()) {
                prop_assert!(of.message.lines().all(|line| !line.starts_with('/')), "{}", of.message);
                prop_assert!(!of.title.contains('\n') && of.message.len() < 10_000 || name == "b");
            }
        }
    }

    /// A comment is never longer than its forge takes, and says how much it leaves out.
    #[test]
    fn a_comment_fits_its_forge(number in 1_usize..400, limit in 1_000_usize..20_000, unit in 0..3) {
        let unit = [LengthUnit::Characters, LengthUnit::Bytes, LengthUnit::Utf16][unit as usize];
        let mut file = applied();
        let base = base(&file);
        let live = running(&base);
        let tip = file.clone();
        for n in 0..number {
            file.get_mut("web").unwrap().insert(env(&format!("N{n:03}")), written(text("日本🫑é"), 40));
        }
        let report = report(vec![("production", boxed(planned(&tip, &file, &base, &live, ReportDetail::Full)))]);
        let body = comment(&report, &context(CommentStyle { limit, unit, html: true }));
        prop_assert!(unit.of(&body) <= limit);
        let shown = (0..number).filter(|n| body.contains(&format!("env.N{n:03}"))).count();
        prop_assert!(open_text(&body).1, "{body}");
        if shown < number {
            prop_assert!(body.contains(&format!("+{} more", number - shown)) || body.contains(" more, left out"), "{body}");
            prop_assert!(body.contains("https://trueup.acme.dev/shop/pulls/7"));
        }
    }
}
