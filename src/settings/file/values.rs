//! The values of the settings file: notations, ranges, and what is said where they do not fit.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::live::quantity::{Bytes, DURATION_EXPECTED, Millis, SIZE_EXPECTED};

/// A duration or a size: text with a unit, or a bare number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text with a unit, such as \"60s\" or \"256Ki\", or a bare number")]
pub(super) enum Amount {
    Number(u64),
    Text(String),
}

impl Amount {
    pub(super) fn text(&self) -> String {
        match self {
            Amount::Number(number) => number.to_string(),
            Amount::Text(text) => text.clone(),
        }
    }
}

/// What is wrong at a place of the text.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

pub(super) fn wrong<T>(spanned: &Spanned<T>, message: impl Into<String>) -> Wrong {
    Wrong { span: spanned.span(), message: message.into(), help: None }
}

pub(super) fn path(value: Option<Spanned<PathBuf>>) -> Result<Option<PathBuf>, Wrong> {
    match value {
        Some(path) if !path.get_ref().is_absolute() => {
            Err(wrong(&path, format!("`{}` is not an absolute path", path.get_ref().display())))
        }
        other => Ok(other.map(Spanned::into_inner)),
    }
}

/// The name of a group or a user, which `of` says.
pub(super) fn account(name: Spanned<String>, of: &str) -> Result<String, Wrong> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let text = name.get_ref();
    if text.is_empty() || text.len() > 32 || !text.bytes().all(letters) {
        return Err(wrong(&name, format!("`{text}` is not the name of a {of}")));
    }
    Ok(name.into_inner())
}

pub(super) fn listen(value: Option<Spanned<String>>, unencrypted: bool) -> Result<Option<SocketAddr>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref();
    let address: SocketAddr = text.parse().map_err(|_| {
        wrong(&value, format!("`{text}` is not an address and port such as 127.0.0.1:7070 or [::1]:7070"))
    })?;
    if !address.ip().is_loopback() && !unencrypted {
        return Err(Wrong {
            help: Some(
                "listen on 127.0.0.1 behind a proxy that speaks TLS, or set listen_unencrypted = true where the network itself is trusted"
                    .into(),
            ),
            ..wrong(&value, format!("other machines reach {address}, and bearer tokens would travel unencrypted"))
        });
    }
    Ok(Some(address))
}

pub(super) fn public_url(value: Option<Spanned<String>>) -> Result<Option<String>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let url = value.get_ref().trim().trim_end_matches('/').to_owned();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let odd =
        |c: char| c.is_control() || c.is_whitespace() || matches!(c, '@' | '?' | '#' | '(' | ')' | '<' | '>' | '"');
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && url.len() <= 512 && !url.contains(odd) => {
            Ok(Some(url))
        }
        _ => Err(wrong(
            &value,
            format!("`{url}` is not a URL such as https://trueup.acme.dev: no user, query or fragment"),
        )),
    }
}

pub(super) fn interval(value: Option<Spanned<Amount>>) -> Result<Option<Duration>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref().text();
    let millis = Millis::parse(&text).map_err(|_| wrong(&value, format!("`{text}` is not {DURATION_EXPECTED}")))?;
    if !(1_000..=86_400_000).contains(&millis.0) {
        return Err(wrong(&value, format!("`{text}` is not between 1s and 24h")));
    }
    Ok(Some(millis.duration()))
}

pub(super) fn size(value: Option<Spanned<Amount>>, most: u64) -> Result<Option<u64>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref().text();
    let bytes = Bytes::parse(&text).map_err(|_| wrong(&value, format!("`{text}` is not {SIZE_EXPECTED}")))?;
    if !(1024..=most).contains(&bytes.0) {
        return Err(wrong(&value, format!("`{text}` is not between 1Ki and {}", Bytes(most))));
    }
    Ok(Some(bytes.0))
}

pub(super) fn polls(value: Option<Spanned<i64>>) -> Result<Option<usize>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    match usize::try_from(*value.get_ref()) {
        Ok(count) if (1..=64).contains(&count) => Ok(Some(count)),
        _ => Err(wrong(&value, format!("{} is not between 1 and 64", value.get_ref()))),
    }
}

pub(super) fn hostname(value: &Spanned<String>) -> Result<String, Wrong> {
    let text = value.get_ref();
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(letters) {
        return Err(wrong(value, format!("`{text}` is not a host such as git.acme.dev: no scheme, no path")));
    }
    Ok(text.to_ascii_lowercase())
}
