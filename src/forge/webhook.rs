//! From a delivery's bytes to what it says. Pure.

use std::borrow::Cow;

use super::event::{Event, ParseError};
use super::{ForgeKind, Headers, bitbucket, bitbucket_server, gitea, github, gitlab};

/// Understands a delivery. Fields and events that are not known are passed over; what is used must be of its type.
///
/// # Errors
/// [`ParseError`]; it never repeats what is in the delivery.
pub fn parse(forge: ForgeKind, headers: &Headers, body: &[u8]) -> Result<Event, ParseError> {
    let text = std::str::from_utf8(body).map_err(|_| ParseError::NotText)?;
    match forge {
        ForgeKind::Github => github::webhook::parse(headers, &unwrap_form(headers, text)?),
        ForgeKind::Gitea | ForgeKind::Forgejo => gitea::webhook::parse(headers, &unwrap_form(headers, text)?),
        ForgeKind::Gitlab => gitlab::webhook::parse(text),
        ForgeKind::Bitbucket => bitbucket::webhook::parse(headers, text),
        ForgeKind::BitbucketServer => bitbucket_server::webhook::parse(headers, text),
    }
}

/// The JSON of a body that may be a form with the JSON in its field `payload`.
fn unwrap_form<'a>(headers: &Headers, body: &'a str) -> Result<Cow<'a, str>, ParseError> {
    let media = headers.first(&["content-type"]).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Cow::Borrowed(body));
    }
    let mut payloads = body.split('&').filter_map(|field| field.strip_prefix("payload="));
    match (payloads.next(), payloads.next()) {
        (Some(encoded), None) => decode(encoded).map(Cow::Owned).ok_or(ParseError::Form),
        _ => Err(ParseError::Form),
    }
}

/// Undoes the encoding of form fields (URL Standard, application/x-www-form-urlencoded); an odd escape is an error.
fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    let digit = |rest: &mut std::str::Bytes<'_>| (rest.next()? as char).to_digit(16);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(digit(&mut rest)? << 4 | digit(&mut rest)?).ok()?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode, parse};
    use crate::forge::event::{EventKind, ParseError};
    use crate::forge::{ForgeKind, Headers};

    #[test]
    fn forms_are_decoded_strictly() {
        assert_eq!(decode("a%20b+c%7B").as_deref(), Some("a b c{"));
        for odd in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_form_has_one_payload() {
        let headers = Headers::of([
            ("Content-Type", b"application/x-www-form-urlencoded".as_slice()),
            ("X-GitHub-Event", b"ping".as_slice()),
        ]);
        let read = |body: &str| parse(ForgeKind::Github, &headers, body.as_bytes());
        assert_eq!(
            read("a=b&payload=%7B%22hook_id%22%3A7%7D").map(|event| event.kind),
            Ok(EventKind::Ping { hook: Some(7) })
        );
        for odd in ["{}", "payload=%7B%7D&payload=%7B%7D", "payload=%7", ""] {
            assert_eq!(read(odd), Err(ParseError::Form), "{odd}");
        }
    }
}
