use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// Longest actor name that is taken over.
pub const ACTOR_MAX: usize = 64;
const ACTOR_KEY: &str = "x-thunes-actor";

/// Who calls. Until identity is built this is what the caller says, and the prefix says that nobody proved it.
pub fn actor_of(metadata: &MetadataMap) -> String {
    let named = metadata
        .get(ACTOR_KEY)
        .and_then(|value| value.to_str().ok())
        .map(|text| {
            text.chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_.@:".contains(*c))
                .take(ACTOR_MAX)
                .collect::<String>()
        });
    format!(
        "unauthenticated:{}",
        named
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "local".to_owned())
    )
}

/// Says who calls.
pub fn with_actor<T>(mut request: tonic::Request<T>, actor: &str) -> tonic::Request<T> {
    if let Ok(value) = MetadataValue::<Ascii>::try_from(actor) {
        request.metadata_mut().insert(ACTOR_KEY, value);
    }
    request
}
