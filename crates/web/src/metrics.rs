//! The engine's meters in OpenMetrics text.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use tagboat_engine::report::{Family, Kind, Meters, Value};

/// What `/metrics` answers with.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All meters, each name with `tagboat_` before it.
pub(crate) fn render(meters: &Meters) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tagboat");
    registry.register_collector(Box::new(Families(meters.families())));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for sample in &family.samples {
                if family.labels.is_empty() {
                    encode(&mut metric, &sample.value)?;
                    continue;
                }
                let labels: Vec<(&str, &str)> =
                    family.labels.iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
                encode(&mut metric.encode_family(&labels)?, &sample.value)?;
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, value: &Value) -> Result<(), fmt::Error> {
    match value {
        Value::Counter(total) => metric.encode_counter::<NoLabelSet, _, u64>(total, None),
        Value::Gauge(value) => metric.encode_gauge(value),
        Value::Histogram { sum, count, buckets } => metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tagboat_engine::ports::SourceId;
    use tagboat_engine::report::SyncResult;

    #[test]
    fn meters_come_out_as_open_metrics() {
        let meters = Meters::new("0.1.0");
        let source = SourceId("infra".to_owned());
        let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        meters.synced(&source, SyncResult::Ok, Duration::from_millis(700), 2, at);
        meters.registry_requests.count(&["registry.example.com", "200"]);
        meters.leads(true);
        let text = render(&meters).unwrap();
        for line in [
            "# TYPE tagboat_registry_requests counter",
            "tagboat_registry_requests_total{host=\"registry.example.com\",code=\"200\"} 1",
            "tagboat_sync_total{source=\"infra\",result=\"ok\"} 1",
            "tagboat_sync_last_success_timestamp_seconds{source=\"infra\"} 1700000000.0",
            "tagboat_sync_duration_seconds_bucket{le=\"0.5\",source=\"infra\"} 0",
            "tagboat_sync_duration_seconds_bucket{le=\"1.0\",source=\"infra\"} 1",
            "tagboat_sync_duration_seconds_bucket{le=\"+Inf\",source=\"infra\"} 1",
            "tagboat_objects_failed{source=\"infra\"} 2.0",
            "tagboat_build_info{version=\"0.1.0\"} 1.0",
            "tagboat_leader 1.0",
            "tagboat_notify_dropped_total 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_label_cannot_break_out_of_its_line() {
        let meters = Meters::new("0.1.0");
        meters.registry_requests.count(&["a\"} 1\nforged_total 9 \\", "200"]);
        let text = render(&meters).unwrap();
        assert!(text.contains(r#"host="a\"} 1\nforged_total 9 \\",code"#), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
    }
}
