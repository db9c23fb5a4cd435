//! Where the time of an order goes, for metrics.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use thunes_runtime::{clock, meter, process_name};

/// Seconds; from what a local call takes to what nobody waits for.
const BUCKETS: [f64; 15] = [
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter()
        .f64_histogram("thunes_order_stage_duration_seconds")
        .with_unit("s")
        .with_description("What each stage of an order took: risk's word, the intent, the exchange, its answer")
        .with_boundaries(BUCKETS.to_vec())
        .build()
});

/// The stages that every order which is sent goes through, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Risk is asked.
    Authorize,
    /// The intent becomes durable, with its event.
    Intent,
    /// From the request leaving until its answer, or until it is given up.
    Exchange,
    /// What came of it becomes durable, with its event.
    Answer,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Intent => "intent",
            Self::Exchange => "exchange",
            Self::Answer => "answer",
        }
    }
}

/// Does the work of a stage and notes how long it took.
pub(crate) async fn timed<F: Future>(stage: Stage, work: F) -> F::Output {
    let begun = clock::instant();
    let done = work.await;
    let labels = [
        KeyValue::new("service", process_name()),
        KeyValue::new("stage", stage.as_str()),
    ];
    DURATION.record(begun.elapsed().as_secs_f64(), &labels);
    done
}
