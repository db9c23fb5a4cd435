use std::collections::VecDeque;

use serde::Serialize;

/// How many messages are kept; older ones go first.
pub const MESSAGES_MAX: usize = 10_000;

/// A message as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    pub(crate) message_id: i64,
    /// As the sender wrote it: a number or a `@name`.
    pub(crate) chat_id: String,
    pub(crate) text: String,
    pub(crate) accepted_at_ms: i64,
}

/// What the next messages are answered with instead of being accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    RetryAfter { seconds: u32 },
    Status { status: u16 },
}

/// What the stand-in knows: the messages, and the faults that were ordered.
#[derive(Debug, Default)]
pub(crate) struct Book {
    messages: VecDeque<Message>,
    last_message_id: i64,
    fault: Option<(Fault, u32)>,
}

impl Book {
    /// Orders the next `count` messages to fail; 0 takes an order back. A new order replaces the one before.
    pub(crate) fn fail_next(&mut self, count: u32, fault: Fault) {
        self.fault = (count > 0).then_some((fault, count));
    }

    /// Takes a message, or uses up one ordered fault.
    ///
    /// # Errors
    /// The fault that was ordered.
    pub(crate) fn accept(&mut self, chat_id: String, text: String, accepted_at_ms: i64) -> Result<Message, Fault> {
        if let Some((fault, left)) = self.fault.take() {
            self.fail_next(left - 1, fault);
            return Err(fault);
        }
        self.last_message_id += 1;
        let message = Message {
            message_id: self.last_message_id,
            chat_id,
            text,
            accepted_at_ms,
        };
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(message.clone());
        Ok(message)
    }

    /// Oldest first.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_ordered_number_of_messages_fails() {
        let mut book = Book::default();
        book.fail_next(2, Fault::Status { status: 502 });
        let mut send = || book.accept("1".into(), "x".into(), 5).map(|m| m.message_id);
        let fault = Err(Fault::Status { status: 502 });
        assert_eq!([send(), send(), send(), send()], [fault, fault, Ok(1), Ok(2)]);
        book.fail_next(5, Fault::RetryAfter { seconds: 1 });
        book.fail_next(0, Fault::RetryAfter { seconds: 1 });
        assert!(book.accept("1".into(), "x".into(), 5).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut book = Book::default();
        for _ in 0..MESSAGES_MAX + 5 {
            book.accept("1".into(), "x".into(), 5).expect("no fault ordered");
        }
        let kept = book.messages();
        assert_eq!((kept.len(), kept[0].message_id), (MESSAGES_MAX, 6));
    }
}
