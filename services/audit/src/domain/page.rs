//! Pages of a query: what is asked, and the token that leads to the next page.

use sha2::{Digest, Sha256};
use thunes_proto::audit::v1::QueryEventsRequest;
use thunes_types::FieldError;

use crate::domain::index::Filter;

pub(crate) const PAGE_SIZE_DEFAULT: usize = 100;
pub(crate) const PAGE_SIZE_MAX: usize = 1000;
/// A page ends early at about this size: clients take 4 MiB by default.
pub(crate) const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Values of one filter.
const FILTER_VALUES_MAX: usize = 64;

/// A query, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub filter: Filter,
    pub newest_first: bool,
    pub page_size: usize,
    /// Where this page begins; none for the first page.
    pub seq: Option<u64>,
}

impl Query {
    pub(crate) fn read(request: &QueryEventsRequest) -> Result<Self, FieldError> {
        let filter = Filter {
            event_types: bounded("event_types", &request.event_types)?,
            services: bounded("services", &request.services)?,
            from_ms: request.from_ms,
            to_ms: request.to_ms,
        };
        if filter.to_ms < 0 || (filter.to_ms > 0 && filter.to_ms <= filter.from_ms) {
            let rule = "0, or milliseconds since 1970 after from_ms";
            return Err(FieldError::new("to_ms", &filter.to_ms.to_string(), rule));
        }
        let size = request.page_size;
        let size_fault = || {
            FieldError::new(
                "page_size",
                &size.to_string(),
                format!("1 to {PAGE_SIZE_MAX}, or 0 for {PAGE_SIZE_DEFAULT}"),
            )
        };
        let page_size = match usize::try_from(size).map_err(|_| size_fault())? {
            0 => PAGE_SIZE_DEFAULT,
            size if size <= PAGE_SIZE_MAX => size,
            _ => return Err(size_fault()),
        };
        let mut query = Self {
            filter,
            newest_first: request.newest_first,
            page_size,
            seq: None,
        };
        if !request.page_token.is_empty() {
            let rule = "the next_page_token of the same query; leave it empty to begin anew";
            let seq = query.seq_of(&request.page_token);
            query.seq = Some(seq.ok_or_else(|| FieldError::new("page_token", &request.page_token, rule))?);
        }
        Ok(query)
    }

    /// The token of the page that begins at `seq`. It belongs to this query alone.
    pub(crate) fn token(&self, seq: u64) -> String {
        format!("{seq:x}.{}", self.fingerprint())
    }

    fn seq_of(&self, token: &str) -> Option<u64> {
        let seq = u64::from_str_radix(token.split_once('.')?.0, 16).ok()?;
        (seq > 0 && self.token(seq) == token).then_some(seq)
    }

    fn fingerprint(&self) -> String {
        let text = serde_json::json!([
            self.filter.event_types,
            self.filter.services,
            self.filter.from_ms,
            self.filter.to_ms,
            self.newest_first
        ]);
        hex::encode(&Sha256::digest(text.to_string())[..8])
    }
}

fn bounded(field: &str, values: &[String]) -> Result<Vec<String>, FieldError> {
    if values.len() > FILTER_VALUES_MAX {
        let rule = format!("at most {FILTER_VALUES_MAX} values");
        return Err(FieldError::new(field, &format!("{} values", values.len()), rule));
    }
    Ok(values.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_in_its_own_query_alone() {
        let request = QueryEventsRequest {
            event_types: vec!["A".into()],
            page_size: 7,
            ..Default::default()
        };
        let query = Query::read(&request).expect("valid");
        let token = query.token(41);
        let next = QueryEventsRequest {
            page_token: token.clone(),
            page_size: 9,
            ..request.clone()
        };
        assert_eq!(Query::read(&next).expect("another size is fine").seq, Some(41));
        for other in [
            QueryEventsRequest {
                newest_first: true,
                ..next.clone()
            },
            QueryEventsRequest {
                event_types: vec![],
                ..next.clone()
            },
            QueryEventsRequest {
                services: vec!["A".into()],
                ..next.clone()
            },
            QueryEventsRequest {
                from_ms: 1,
                ..next.clone()
            },
            QueryEventsRequest {
                page_token: token.replacen('2', "3", 1),
                ..next.clone()
            },
            QueryEventsRequest {
                page_token: format!("0{token}"),
                ..next.clone()
            },
            QueryEventsRequest {
                page_token: "\0".into(),
                ..next.clone()
            },
        ] {
            let right = other.page_token != token && Query::read(&other).is_ok_and(|q| q.seq != Some(41));
            assert!(
                right || Query::read(&other).is_err_and(|e| e.field == "page_token"),
                "{other:?}"
            );
        }
    }

    #[test]
    fn sizes_and_times_out_of_bounds_are_refused() {
        for (field, request) in [
            (
                "page_size",
                QueryEventsRequest {
                    page_size: -1,
                    ..Default::default()
                },
            ),
            (
                "page_size",
                QueryEventsRequest {
                    page_size: 1001,
                    ..Default::default()
                },
            ),
            (
                "to_ms",
                QueryEventsRequest {
                    to_ms: -1,
                    ..Default::default()
                },
            ),
            (
                "to_ms",
                QueryEventsRequest {
                    from_ms: 5,
                    to_ms: 5,
                    ..Default::default()
                },
            ),
            (
                "services",
                QueryEventsRequest {
                    services: vec![String::new(); 65],
                    ..Default::default()
                },
            ),
        ] {
            assert_eq!(Query::read(&request).expect_err("refused").field, field);
        }
        assert_eq!(
            Query::read(&QueryEventsRequest::default()).expect("defaults").page_size,
            PAGE_SIZE_DEFAULT
        );
    }
}
