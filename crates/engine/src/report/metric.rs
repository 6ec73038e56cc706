use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a value fell into which range.
    Histogram,
}

/// One number, or one distribution.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram {
        /// The sum of all values.
        sum: f64,
        /// How many there were.
        count: u64,
        /// How many fell into each range, by its upper bound; the last bound is infinite.
        buckets: Vec<(f64, u64)>,
    },
}

/// One value and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels' values, in the order of the family's labels.
    pub labels: Vec<String>,
    /// The value.
    pub value: Value,
}

/// One metric with all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name, without a counter's `_total`.
    pub name: &'static str,
    /// What it says, for people.
    pub help: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// The labels' names.
    pub labels: &'static [&'static str],
    /// Its series.
    pub samples: Vec<Sample>,
}

/// How many series one family may have; further label values are counted together under [`OTHER`].
const SERIES: usize = 500;
/// The label value that stands for all beyond the limit.
const OTHER: &str = "other";

#[derive(Debug)]
struct Description {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

impl Description {
    fn family(&self, kind: Kind, samples: Vec<Sample>) -> Family {
        Family { name: self.name, help: self.help, kind, labels: self.labels, samples }
    }
}

/// The key of a series, or of the one that stands for all beyond the limit.
fn key<V>(series: &BTreeMap<Vec<String>, V>, labels: &[&str]) -> Vec<String> {
    let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    if series.len() >= SERIES && !series.contains_key(&key) { vec![OTHER.to_owned(); labels.len()] } else { key }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters that differ by labels.
#[derive(Debug)]
pub struct Counters {
    description: Description,
    series: Mutex<BTreeMap<Vec<String>, u64>>,
}

impl Counters {
    pub(super) fn new(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { description: Description { name, help, labels }, series: Mutex::default() }
    }

    /// Counts one more. `labels` are the values, in the family's order.
    pub fn count(&self, labels: &[&str]) {
        self.add(labels, 1);
    }

    /// Counts so many more.
    pub fn add(&self, labels: &[&str], more: u64) {
        let mut series = lock(&self.series);
        let key = key(&series, labels);
        let total = series.entry(key).or_default();
        *total = total.saturating_add(more);
    }

    /// What was counted for these labels.
    #[must_use]
    pub fn get(&self, labels: &[&str]) -> u64 {
        let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        lock(&self.series).get(&key).copied().unwrap_or_default()
    }

    /// All of it.
    #[must_use]
    pub fn family(&self) -> Family {
        let samples = lock(&self.series)
            .iter()
            .map(|(labels, total)| Sample { labels: labels.clone(), value: Value::Counter(*total) })
            .collect();
        self.description.family(Kind::Counter, samples)
    }
}

/// Gauges that differ by labels.
#[derive(Debug)]
pub struct Gauges {
    description: Description,
    series: Mutex<BTreeMap<Vec<String>, f64>>,
}

impl Gauges {
    pub(super) fn new(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { description: Description { name, help, labels }, series: Mutex::default() }
    }

    /// Sets the value.
    pub fn set(&self, labels: &[&str], value: f64) {
        let mut series = lock(&self.series);
        let key = key(&series, labels);
        series.insert(key, value);
    }

    /// Drops every series whose first label is this: what it measured is gone.
    pub fn forget(&self, first: &str) {
        lock(&self.series).retain(|labels, _| labels.first().is_none_or(|label| label != first));
    }

    /// The value for these labels.
    #[must_use]
    pub fn get(&self, labels: &[&str]) -> Option<f64> {
        let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        lock(&self.series).get(&key).copied()
    }

    /// All of it.
    #[must_use]
    pub fn family(&self) -> Family {
        let samples = lock(&self.series)
            .iter()
            .map(|(labels, value)| Sample { labels: labels.clone(), value: Value::Gauge(*value) })
            .collect();
        self.description.family(Kind::Gauge, samples)
    }
}

/// Distributions over fixed ranges that differ by labels.
#[derive(Debug)]
pub struct Histogram {
    description: Description,
    bounds: &'static [f64],
    series: Mutex<BTreeMap<Vec<String>, Distribution>>,
}

#[derive(Debug, Default)]
struct Distribution {
    sum: f64,
    counts: Vec<u64>,
}

impl Histogram {
    pub(super) fn new(
        name: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
        help: &'static str,
    ) -> Self {
        Self { description: Description { name, help, labels }, bounds, series: Mutex::default() }
    }

    /// Takes a value; what is not a finite number is passed over.
    pub fn observe(&self, labels: &[&str], value: f64) {
        if !value.is_finite() {
            return;
        }
        let mut series = lock(&self.series);
        let key = key(&series, labels);
        let distribution = series.entry(key).or_default();
        distribution.counts.resize(self.bounds.len() + 1, 0);
        distribution.sum += value;
        let range = self.bounds.partition_point(|bound| value > *bound);
        distribution.counts[range] += 1;
    }

    /// All of it.
    #[must_use]
    pub fn family(&self) -> Family {
        let bounds = || self.bounds.iter().copied().chain([f64::INFINITY]);
        let samples = lock(&self.series)
            .iter()
            .map(|(labels, Distribution { sum, counts })| Sample {
                labels: labels.clone(),
                value: Value::Histogram {
                    sum: *sum,
                    count: counts.iter().sum(),
                    buckets: bounds().zip(counts.iter().copied()).collect(),
                },
            })
            .collect();
        self.description.family(Kind::Histogram, samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beyond_the_limit_are_counted_together() {
        let counters = Counters::new("requests", &["host", "code"], "");
        for host in 0..SERIES {
            counters.count(&[&format!("host-{host}"), "200"]);
        }
        counters.count(&["one-more", "200"]);
        counters.count(&["and-another", "500"]);
        counters.count(&["host-0", "200"]);
        assert_eq!(counters.get(&["one-more", "200"]), 0);
        assert_eq!(counters.get(&[OTHER, OTHER]), 2);
        assert_eq!(counters.get(&["host-0", "200"]), 2);
        assert_eq!(counters.family().samples.len(), SERIES + 1);
    }

    #[test]
    fn a_value_falls_into_the_first_range_that_holds_it() {
        let histogram = Histogram::new("took", &[], &[1.0, 5.0], "");
        for value in [0.5, 1.0, 3.0, 99.0, f64::NAN] {
            histogram.observe(&[], value);
        }
        let Value::Histogram { sum, count, buckets } = &histogram.family().samples[0].value else { panic!() };
        assert_eq!((*sum, *count), (103.5, 4));
        assert_eq!(buckets, &[(1.0, 2), (5.0, 1), (f64::INFINITY, 1)]);
    }

    #[test]
    fn the_series_of_what_is_gone_go_with_it() {
        let gauges = Gauges::new("objects_failed", &["source"], "");
        gauges.set(&["infra"], 3.0);
        gauges.set(&["other"], 1.0);
        gauges.forget("infra");
        assert_eq!(gauges.get(&["infra"]), None);
        assert_eq!(gauges.get(&["other"]), Some(1.0));
    }
}
