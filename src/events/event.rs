//! What an event is. Pure.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::schema_as_text;

/// What happened. A new kind of event is one variant and its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// An integration was registered.
    IntegrationCreated,
    /// What is registered of an integration was changed.
    IntegrationUpdated,
    /// An integration is doing better or worse than before.
    IntegrationHealthChanged,
    /// An integration was forgotten.
    IntegrationRemoved,
    /// What runs was changed outside Trueup, or what was changed so is something else than before.
    DriftDetected,
    /// Nothing that runs is changed outside Trueup any more.
    DriftResolved,
}

/// No event has this word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no event: there are {}", EventType::ALL.map(EventType::word).join(", "))]
pub struct UnknownEvent {
    /// The word, cut to 80 characters.
    pub word: String,
}

impl EventType {
    /// Every event.
    pub const ALL: [EventType; 6] = [
        EventType::IntegrationCreated,
        EventType::IntegrationUpdated,
        EventType::IntegrationHealthChanged,
        EventType::IntegrationRemoved,
        EventType::DriftDetected,
        EventType::DriftResolved,
    ];

    /// The event's word: its noun, a dot, and what happened.
    pub fn word(self) -> &'static str {
        match self {
            EventType::IntegrationCreated => "integration.created",
            EventType::IntegrationUpdated => "integration.updated",
            EventType::IntegrationHealthChanged => "integration.health_changed",
            EventType::IntegrationRemoved => "integration.removed",
            EventType::DriftDetected => "drift.detected",
            EventType::DriftResolved => "drift.resolved",
        }
    }
}

/// The words of all events.
pub fn words() -> [&'static str; EventType::ALL.len()] {
    EventType::ALL.map(EventType::word)
}

/// Whether a pattern chooses events: a word, `NOUN.*` of a noun that there is, or `*`.
pub fn is_pattern(pattern: &str) -> bool {
    EventType::ALL.into_iter().any(|kind| chosen(pattern, kind))
}

/// Whether a pattern chooses this event.
pub fn chosen(pattern: &str, kind: EventType) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(noun) => noun.ends_with('.') && kind.word().starts_with(noun),
        None => kind.word() == pattern,
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for EventType {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let unknown = || UnknownEvent { word: text.chars().take(80).collect() };
        EventType::ALL.into_iter().find(|known| known.word() == text).ok_or_else(unknown)
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

schema_as_text!(EventType, "an event's word, such as integration.health_changed");

/// An event to be told. Holds nothing that a viewer may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventType,
    /// To what: its path below `/api/v1/`, such as `integrations/github`.
    pub subject: String,
    /// The facts, as each event's documentation lists them (docs/notifications.md).
    pub data: serde_json::Value,
}

/// An event as it is kept and told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Its number, counted up per installation; what comes later has a higher one.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// To what: its path below `/api/v1/`.
    pub subject: String,
    /// The facts.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::{EventType, chosen, is_pattern};

    #[test]
    fn every_event_is_read_back_from_its_word() {
        for kind in EventType::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("integration.exploded".parse::<EventType>().is_err());
    }

    #[test]
    fn patterns_choose_a_word_a_noun_or_all() {
        for good in ["*", "integration.*", "integration.removed"] {
            assert!(is_pattern(good) && chosen(good, EventType::IntegrationRemoved), "{good}");
        }
        for bad in ["", "integration", "integration*", "inte*", "project.*", "integration.remove*", ".*"] {
            assert!(!is_pattern(bad), "{bad}");
        }
        assert!(!chosen("integration.removed", EventType::IntegrationCreated));
    }
}
