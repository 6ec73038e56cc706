use std::time::Duration;

/// A duration for a table: `1.2 s`, `2 min 05 s`.
pub(super) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = duration.as_secs();
    format!("{} min {:02} s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_minutes_are_told_apart() {
        assert_eq!(show(Duration::from_millis(1_230)), "1.2 s");
        assert_eq!(show(Duration::from_secs(125)), "2 min 05 s");
    }
}
