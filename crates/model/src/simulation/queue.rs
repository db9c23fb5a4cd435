use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What happens at a time; events of the same time in the order in which they were planned.
#[derive(Debug)]
pub struct Queue<E> {
    now: i64,
    planned: u64,
    heap: BinaryHeap<Reverse<Planned<E>>>,
}

#[derive(Debug)]
struct Planned<E> {
    at: i64,
    order: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<E> Queue<E> {
    pub fn new(now: i64) -> Self {
        Self {
            now,
            planned: 0,
            heap: BinaryHeap::new(),
        }
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn at(&mut self, at: i64, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Planned {
            at: at.max(self.now),
            order: self.planned,
            event,
        }));
    }

    pub fn after(&mut self, wait_ms: i64, event: E) {
        self.at(self.now + wait_ms, event);
    }

    pub fn next(&mut self) -> Option<E> {
        let Reverse(next) = self.heap.pop()?;
        self.now = next.at;
        Some(next.event)
    }
}

/// Everything that is left to chance, from one seed.
#[derive(Debug)]
pub struct Chance {
    rng: StdRng,
    /// How many of a hundred messages get lost in this seed.
    loss_percent: u32,
}

impl Chance {
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let loss_percent = [0, 2, 20][rng.random_range(0..3)];
        Self { rng, loss_percent }
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.rng.random_range(low..=high)
    }

    pub fn percent(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Mostly a few milliseconds, now and then seconds.
    pub fn latency(&mut self) -> i64 {
        match self.between(0, 99) {
            0..=84 => self.between(1, 20),
            85..=94 => self.between(20, 600),
            _ => self.between(600, 6000),
        }
    }

    pub fn disk(&mut self) -> i64 {
        if self.percent(95) {
            self.between(1, 10)
        } else {
            self.between(10, 1500)
        }
    }

    pub fn lost(&mut self) -> bool {
        self.percent(self.loss_percent)
    }
}
