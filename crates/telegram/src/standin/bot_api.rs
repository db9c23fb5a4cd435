use std::time::Duration;

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use thunes_runtime::clock;

use super::answer::{Failure, success};
use super::book::Message;
use super::params::Params;
use super::server::Shared;
use crate::TEXT_UNITS_MAX;

/// The longest that a client can ask `getUpdates` to wait.
const POLL_SECONDS_MAX: u64 = 50;
/// Where the ids of chats that are known by name only begin, downwards.
const CHANNEL_ID_BASE: i64 = -1_000_000_000_000;

/// One call of the Bot API: `/bot<token>/<method>`, the method in any case.
pub(crate) async fn call(shared: &Shared, token: &str, method: &str, params: Result<Params, Failure>) -> Response {
    if token.is_empty() {
        return Failure::unauthorized().into_response();
    }
    let params = match params {
        Ok(params) => params,
        Err(failure) => return failure.into_response(),
    };
    match method.to_ascii_lowercase().as_str() {
        "getme" => success(bot(token)),
        "sendmessage" => match send_message(shared, token, &params) {
            Ok(message) => success(message),
            Err(failure) => failure.into_response(),
        },
        "getupdates" => get_updates(shared, &params).await,
        "deletewebhook" => success(json!(true)),
        _ => Failure::not_found("method not found").into_response(),
    }
}

fn send_message(shared: &Shared, token: &str, params: &Params) -> Result<Value, Failure> {
    let chat_id = params
        .get("chat_id")
        .ok_or_else(|| Failure::bad_request("chat_id is empty"))?;
    let chat = chat(chat_id).ok_or_else(|| Failure::bad_request("chat not found"))?;
    let text = params.get("text").filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| Failure::bad_request("message text is empty"))?;
    if text.encode_utf16().count() > TEXT_UNITS_MAX {
        return Err(Failure::bad_request("message is too long"));
    }
    let message = shared
        .book()
        .accept(chat_id.to_owned(), text.to_owned(), clock::now_ms())?;
    tracing::info!(message_id = message.message_id, chat_id, text, "message accepted");
    Ok(sent(&message, token, &chat))
}

fn sent(message: &Message, token: &str, chat: &Value) -> Value {
    json!({
        "message_id": message.message_id,
        "from": bot(token),
        "chat": chat,
        "date": message.accepted_at_ms / 1000,
        "text": message.text,
    })
}

/// Nobody ever writes to this bot: the answer is empty, after the wait that the client asked for.
async fn get_updates(shared: &Shared, params: &Params) -> Response {
    let seconds: u64 = params.get("timeout").and_then(|text| text.parse().ok()).unwrap_or(0);
    tokio::select! {
        () = shared.shutdown.cancelled() => {}
        () = tokio::time::sleep(Duration::from_secs(seconds.min(POLL_SECONDS_MAX))) => {}
    }
    success(json!([]))
}

/// The bot of a token; real tokens begin with the bot's id.
fn bot(token: &str) -> Value {
    let id: i64 = token
        .split(':')
        .next()
        .and_then(|text| text.parse().ok())
        .filter(|id| *id > 0)
        .unwrap_or(1);
    json!({
        "id": id,
        "is_bot": true,
        "first_name": "THUNES stand-in",
        "username": "thunes_standin_bot",
        "can_join_groups": true,
        "can_read_all_group_messages": false,
        "supports_inline_queries": false,
    })
}

/// The chat behind an id: positive ones are people, negative ones groups, `@name` a channel. None for anything else.
fn chat(chat_id: &str) -> Option<Value> {
    if let Some(name) = chat_id.strip_prefix('@') {
        let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let folded = name
            .bytes()
            .fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 1_000_000_007);
        return valid
            .then(|| json!({"id": CHANNEL_ID_BASE - folded, "type": "channel", "title": name, "username": name}));
    }
    match chat_id.parse::<i64>().ok()? {
        0 => None,
        id if id > 0 => Some(json!({"id": id, "type": "private", "first_name": "Operator"})),
        id if id > CHANNEL_ID_BASE => Some(json!({"id": id, "type": "group", "title": "Operators"})),
        id => Some(json!({"id": id, "type": "supergroup", "title": "Operators"})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_are_what_their_ids_say() {
        for (id, kind) in [
            ("5", "private"),
            ("-5", "group"),
            ("-1001234567890", "supergroup"),
            ("@ops_1", "channel"),
        ] {
            assert_eq!(chat(id).expect(id)["type"], kind);
        }
        for bad in ["0", "ops", "@", "@a b", "1.5", "99999999999999999999"] {
            assert_eq!(chat(bad), None, "{bad}");
        }
    }
}
