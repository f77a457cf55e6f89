//! What looks like a secret written out: by the name it goes under, or by its own looks.
//!
//! Errs towards asking: a false alarm costs `plain: true`, a missed secret cannot be called back.

/// Words of a variable's name that say its value is a credential.
const WORDS: [&str; 18] = [
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
    "APIKEY",
    "APIKEYS",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "AUTH",
    "BEARER",
    "PRIVATEKEY",
    "ACCESSKEY",
];

/// Endings that give a word away even where it was run together with another (`PGPASSWORD`).
const ENDINGS: [&str; 5] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN"];

/// Words that make a credential of a `KEY` that follows.
const KEYS: [&str; 8] = ["API", "PRIVATE", "ACCESS", "SECRET", "SIGNING", "ENCRYPTION", "MASTER", "SSH"];

/// Whether a variable of this name would hold a credential.
pub(crate) fn is_credential_name(name: &str) -> bool {
    let words = words(name);
    let mut previous: Option<&str> = None;
    for word in &words {
        let known = WORDS.contains(&word.as_str()) || ENDINGS.iter().any(|ending| word.ends_with(ending));
        let key = matches!(word.as_str(), "KEY" | "KEYS") && previous.is_some_and(|before| KEYS.contains(&before));
        // `PWD` by itself is the working directory; `DB_PWD` is not.
        let pwd = word == "PWD" && previous.is_some();
        if known || key || pwd {
            return true;
        }
        previous = Some(word);
    }
    false
}

/// The name that a variable's secret could have: `DB_PASSWORD` is `db-password`.
pub(crate) fn secret_name(variable: &str) -> String {
    words(variable).join("-").to_ascii_lowercase()
}

/// The words of a name in capitals, split at `_`, `-`, `.` and where camel case begins a word.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        let boundary = matches!(c, '_' | '-' | '.');
        if (boundary || lower && c.is_ascii_uppercase()) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if let (false, Some(word)) = (boundary, words.last_mut()) {
            word.push(c.to_ascii_uppercase());
        }
        lower = c.is_ascii_lowercase();
    }
    words
}

/// Tokens that are known by how they begin: prefix, least length of what follows, what it is.
const TOKENS: [(&str, usize, &str); 18] = [
    ("ghp_", 30, "a GitHub token"),
    ("gho_", 30, "a GitHub token"),
    ("ghu_", 30, "a GitHub token"),
    ("ghs_", 30, "a GitHub token"),
    ("ghr_", 30, "a GitHub token"),
    ("github_pat_", 20, "a GitHub token"),
    ("glpat-", 16, "a GitLab token"),
    ("gldt-", 16, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("sk_live_", 16, "a Stripe key"),
    ("rk_live_", 16, "a Stripe key"),
    ("npm_", 36, "an npm token"),
    ("dckr_pat_", 20, "a Docker Hub token"),
    ("AIza", 35, "a Google API key"),
    ("hvs.", 20, "a Vault token"),
];

/// What kind of secret a text unmistakably holds, wherever in it.
pub(crate) fn is_secret(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    if has_password_in_url(text) {
        return Some("a URL with a password in it");
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .filter(|word| word.len() >= 20)
        .find_map(token)
}

fn token(word: &str) -> Option<&'static str> {
    let known = TOKENS.iter().find(|(prefix, least, _)| {
        word.strip_prefix(prefix).is_some_and(|rest| rest.chars().take_while(|c| *c != '.').count() >= *least)
    });
    if let Some((_, _, what)) = known {
        return Some(what);
    }
    // A JSON web token: two base64url objects (`{"` encodes as `eyJ`) and a signature.
    let mut parts = word.split('.');
    let object = |part: Option<&str>| part.is_some_and(|part| part.starts_with("eyJ") && part.len() >= 10);
    (object(parts.next()) && object(parts.next()) && parts.next().is_some_and(|part| part.len() >= 16))
        .then_some("a JSON web token")
}

/// `scheme://user:password@host`. A password that begins with `$` is a reference to one.
fn has_password_in_url(text: &str) -> bool {
    text.match_indices("://").any(|(at, _)| {
        let rest = &text[at + 3..];
        let authority = rest.split(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'')).next();
        let password = authority
            .and_then(|authority| authority.rsplit_once('@'))
            .and_then(|(userinfo, _)| userinfo.split_once(':'))
            .map(|(_, password)| password);
        password.is_some_and(|password| !password.is_empty() && !password.starts_with('$'))
    })
}

#[cfg(test)]
mod tests {
    use super::{is_credential_name, is_secret};

    #[test]
    fn names_of_credentials() {
        for name in [
            "PASSWORD",
            "DB_PASSWORD",
            "db_password",
            "dbPassword",
            "PGPASSWORD",
            "PASSWORD_MIN_LENGTH",
            "MYSQL_PWD",
            "API_KEY",
            "APIKEY",
            "STRIPE_API_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "TOKEN",
            "GH_TOKEN",
            "CLIENT_SECRET",
            "BASIC_AUTH",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "SSH_PRIVATE_KEY",
            "NPMTOKEN",
        ] {
            assert!(is_credential_name(name), "{name}");
        }
        for name in [
            "LOG_LEVEL",
            "PWD",
            "OLDPWD",
            "KEYBOARD",
            "CACHE_KEY",
            "AUTHOR",
            "PASSAGE",
            "COMPASS",
            "TOKENIZER",
            "PORT",
            "",
        ] {
            assert!(!is_credential_name(name), "{name}");
        }
    }

    #[test]
    fn values_that_are_secrets() {
        let github = format!("ghp_{}", "a1".repeat(18));
        let jwt = format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", "x".repeat(43));
        for text in [
            github.as_str(),
            &format!("--token={github}"),
            "AKIAIOSFODNN7EXAMPLE",
            "postgres://shop:hunter2@db:5432/shop",
            "see redis://:hunter2@cache/0",
            "postgres://shop:p@ss@db/shop",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
            &jwt,
        ] {
            assert!(is_secret(text).is_some(), "{text}");
        }
        for text in [
            "info",
            "postgres://db:5432/shop",
            "postgres://shop@db/shop",
            "postgres://shop:$PASSWORD@db/shop",
            "https://acme.dev/a:b@c",
            "registry.acme.dev/shop/web:1.2",
            "2f5b6a1c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a",
        ] {
            assert!(is_secret(text).is_none(), "{text}");
        }
    }
}
