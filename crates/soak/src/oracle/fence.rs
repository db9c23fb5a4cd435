//! P1: between an activation's answer and the request to deactivate the exchange accepts no opening order.

use super::{Evidence, Verdict};

pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    for span in &evidence.fenced {
        let until = span.deactivation_asked_at_ms.unwrap_or(i64::MAX);
        let fenced = |at_ms: i64| at_ms > span.answered_at_ms && at_ms < until;
        for order in evidence.exchange.iter().filter(|o| o.opens && fenced(o.accepted_at_ms)) {
            verdict.count(
                |c| &mut c.fence_violations,
                || format!("accepted although the activation had answered: {order:?}; {span:?}"),
            );
        }
    }
}
