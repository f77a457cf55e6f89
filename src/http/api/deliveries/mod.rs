//! Deliveries of webhooks: what came, and what became of it.

pub(in crate::http) mod list;
pub(in crate::http) mod replay;
pub(in crate::http) mod show;

use serde::Deserialize;

use crate::http::dto::DeliveryView;
use crate::store::records::Delivery;

/// The delivery of a path.
#[derive(Deserialize)]
pub(in crate::http) struct InDelivery {
    pub(in crate::http) delivery: u64,
}

fn view(delivery: Delivery) -> DeliveryView {
    let Delivery { id, forge, project, delivery_id, bytes, headers, state, error, replays, received_at, settled_at } =
        delivery;
    let event = headers.event(forge).map(str::to_owned);
    DeliveryView {
        id,
        forge,
        project,
        event,
        delivery_id,
        bytes,
        state,
        error,
        replays,
        received_at,
        settled_at,
        body: None,
    }
}
