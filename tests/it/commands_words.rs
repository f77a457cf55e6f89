//! Is only the one line a command that is exactly one, whatever is written around it?

use proptest::prelude::*;
use trueup::commands::grammar::{Command, is_addressed, parse};

proptest! {
    #[test]
    fn any_text_is_read_without_harm(body in any::<String>()) {
        prop_assert_eq!(parse(&body).is_some(), is_addressed(&body));
    }

    #[test]
    fn a_command_stands_at_the_very_beginning(before in "[^/]{1,20}", digest in "[0-9a-f]{8,64}") {
        let text = format!("{}/trueup sync production --plan {}", before, digest);
        prop_assert_eq!(parse(&text), None);
    }

    #[test]
    fn every_well_formed_sync_is_read_as_written(
        project in proptest::option::of("[a-z][a-z0-9]{0,20}"),
        environment in "[a-z][a-z0-9]{0,20}",
        digest in "[0-9a-f]{8,64}",
        space in "[ \t]{1,3}",
        turned in any::<bool>(),
        talk in "(\n[^<\\[]*)?",
    ) {
        let target = project.as_ref().map_or(environment.clone(), |project| format!("{project}/{environment}"));
        let words = match turned {
            false => ["/trueup".into(), "sync".into(), target.clone(), "--plan".into(), digest.clone()],
            true => ["/trueup".into(), "sync".into(), "--plan".into(), digest.clone(), target.clone()],
        };
        let text = format!("{}{talk}", words.join(&space));
        let Some(Ok(Command::Sync { target: read, plan })) = parse(&text) else {
            return Err(TestCaseError::fail(format!("{text:?}: {:?}", parse(&text))));
        };
        prop_assert_eq!((read.to_string(), plan.as_str()), (target, digest.as_str()));
    }

    #[test]
    fn nothing_is_a_sync_without_a_digest_that_could_be_one(words in "[a-z0-9 /=-]{0,60}") {
        if let Some(Ok(Command::Sync { plan, .. })) = parse(&format!("/trueup sync {words}")) {
            prop_assert!((8..=64).contains(&plan.as_str().len()));
            prop_assert!(words.contains(plan.as_str()) && words.contains("--plan"));
        }
    }
}
