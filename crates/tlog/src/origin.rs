use std::fmt;

/// Where an event comes from. Its text is the line's `event_id`, so that which events are known can be rebuilt from the
/// log alone: `<producer>:<incarnation>:<producer_seq>`, `req:<request_id>:<index>`, or an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From a producer who counts its events from 1.
    Counted {
        producer: String,
        incarnation: String,
        producer_seq: u64,
    },
    /// The `index`th (from 0) event of a request that may be repeated.
    Request { request_id: String, index: u32 },
    /// From a caller who repeats nothing.
    Single { id: String },
}

/// The text is no `event_id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event id: producer:incarnation:number, req:request_id:index, or an id without colons")]
pub struct OriginError(String);

impl Origin {
    /// Begins the ids of events that came with a request id; no producer may be called so.
    pub const REQUEST_PREFIX: &'static str = "req";
    /// Longest name of a producer or an incarnation.
    pub const NAME_MAX: usize = 64;

    /// Whether a producer or an incarnation may be called so: 1 to 64 characters of a-z, A-Z, 0-9, `-`, `_` and `.`.
    pub fn is_name(text: &str) -> bool {
        (1..=Self::NAME_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    }

    /// Reads an `event_id`.
    ///
    /// # Errors
    /// When it has none of the three forms.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let error = || OriginError(text.to_owned());
        let Some((front, number)) = text.rsplit_once(':') else {
            let single = Self::is_name(text);
            return if single {
                Ok(Self::Single { id: text.to_owned() })
            } else {
                Err(error())
            };
        };
        let plain = number == "0" || !number.starts_with('0') && !number.starts_with('+');
        let number: u64 = number.parse().ok().filter(|_| plain).ok_or_else(error)?;
        let (name, rest) = front.split_once(':').ok_or_else(error)?;
        if name == Self::REQUEST_PREFIX {
            let index = u32::try_from(number).map_err(|_| error())?;
            return Ok(Self::Request {
                request_id: rest.to_owned(),
                index,
            });
        }
        if !Self::is_name(name) || !Self::is_name(rest) || number == 0 {
            return Err(error());
        }
        Ok(Self::Counted {
            producer: name.to_owned(),
            incarnation: rest.to_owned(),
            producer_seq: number,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted {
                producer,
                incarnation,
                producer_seq,
            } => write!(f, "{producer}:{incarnation}:{producer_seq}"),
            Self::Request { request_id, index } => write!(f, "{}:{request_id}:{index}", Self::REQUEST_PREFIX),
            Self::Single { id } => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_as_what_it_was() {
        let origins = [
            Origin::Counted {
                producer: "risk".into(),
                incarnation: "ab12".into(),
                producer_seq: u64::MAX,
            },
            Origin::Request {
                request_id: "drill:t1:step:3".into(),
                index: 499,
            },
            Origin::Request {
                request_id: "a".into(),
                index: 0,
            },
            Origin::Single {
                id: "0190b3a2-0000-7000-8000-000000000000".into(),
            },
        ];
        for origin in origins {
            assert_eq!(Origin::parse(&origin.to_string()), Ok(origin.clone()), "{origin}");
        }
        for bad in [
            "", "a:b", "a:b:0", "a:b:01", "a:b:+1", "a:b:-1", "a::1", ":b:1", "a:b:c:1", "req:1", "a b", "é",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad:?}");
        }
    }
}
