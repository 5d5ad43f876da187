//! How often a source is asked, in simulated time.

use std::time::Duration;

use proptest::prelude::*;

use crate::extract::limiter::{Limiter, Pace};
use crate::plan::limits::Window;

const SECOND: Duration = Duration::from_secs(1);

/// A queue of calls before a limiter, in simulated time.
struct Queue<L> {
    pace: Pace,
    now: Duration,
    /// How much later than asked for each timer rings.
    late: L,
    made: Vec<Duration>,
}

impl<L: Iterator<Item = Duration>> Queue<L> {
    fn new(pace: Pace, late: L) -> Self {
        Queue {
            pace,
            now: Duration::ZERO,
            late,
            made: Vec::new(),
        }
    }

    /// Makes a call that comes at `arrival`, or when those before it are made.
    fn call(&mut self, arrival: Duration) {
        self.now = self.now.max(arrival);
        while let Err(wait) = self.pace.take(self.now) {
            self.now += wait + self.late.next().unwrap_or_default();
        }
        self.made.push(self.now);
    }

    /// Calls without a pause up to an instant.
    fn work_until(&mut self, end: Duration) {
        while self.now < end {
            self.call(self.now);
        }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn punctual(pace: Pace) -> Queue<impl Iterator<Item = Duration>> {
    Queue::new(pace, std::iter::repeat(Duration::ZERO))
}

fn steady(rate: f64) -> Pace {
    Pace::new(rate, default_burst(rate), None)
}

fn default_burst(rate: f64) -> u32 {
    ((rate / 20.0) as u32).max(1)
}

/// The most calls in any span of this length, its end excluded.
fn most_in(made: &[Duration], span: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (at, time) in made.iter().enumerate() {
        while *time >= made[first] + span {
            first += 1;
        }
        most = most.max(at + 1 - first);
    }
    most
}

/// Calls that a second may have.
fn most_in_a_second(rate: f64, burst: u32) -> usize {
    (rate + f64::from(burst) + 1e-6).floor() as usize
}

/// The rate a while after the provider complained.
fn rate_after(pace: &Pace, complaint: Duration, seconds: u64) -> f64 {
    pace.rate_at(complaint + Duration::from_secs(seconds))
}

#[test]
fn calls_come_at_the_rate_and_a_burst_after_a_pause() {
    let mut queue = punctual(Pace::new(2.0, 3, None));
    queue.work_until(2 * SECOND);
    assert_eq!(
        queue.made,
        [0, 0, 0, 500, 1_000, 1_500, 2_000].map(ms),
        "the burst is there at the start"
    );
    queue.now = Duration::from_secs(100);
    queue.made.clear();
    queue.work_until(Duration::from_secs(101));
    // Half a call was saved up besides, and no more.
    let made = [100_000, 100_000, 100_000, 100_250, 100_750, 101_250].map(ms);
    assert_eq!(queue.made, made);
}

#[test]
fn a_wait_says_when_to_come_back() {
    let mut pace = Pace::new(4.0, 1, None);
    assert_eq!(pace.take(Duration::ZERO), Ok(()));
    assert_eq!(pace.take(Duration::ZERO), Err(ms(250)));
    assert_eq!(pace.take(ms(100)), Err(ms(150)));
    assert_eq!(pace.take(ms(250)), Ok(()));
}

#[test]
fn no_span_of_the_providers_has_more_calls_than_it_allows() {
    let window = Window {
        requests: 2,
        per: SECOND,
    };
    let mut queue = punctual(Pace::new(100.0, 5, Some(window)));
    queue.work_until(3 * SECOND);
    assert_eq!(most_in(&queue.made, SECOND), 2);
    // A little more than the span lies between, for a call that overtakes another.
    assert_eq!(
        queue.made,
        [0, 0, 1_010, 1_010, 2_020, 2_020, 3_030].map(ms)
    );
}

#[test]
fn a_complaint_halves_the_actual_rate() {
    // As fast as allowed.
    let mut queue = punctual(steady(10.0));
    queue.work_until(10 * SECOND);
    let now = queue.now;
    queue.pace.slow_down(now, now);
    assert!(
        (queue.pace.rate_at(now) - 5.0).abs() < 0.2,
        "{:?}",
        queue.pace
    );
    // Much slower than allowed.
    let mut queue = punctual(steady(100.0));
    for call in 0..100 {
        queue.call(ms(call * 100));
    }
    let now = queue.now;
    queue.pace.slow_down(now, now);
    assert!(
        (queue.pace.rate_at(now) - 5.0).abs() < 0.2,
        "{:?}",
        queue.pace
    );
    // Right at the start a burst is no rate.
    let mut queue = punctual(Pace::new(10.0, 4, None));
    for _ in 0..4 {
        queue.call(Duration::ZERO);
    }
    queue.pace.slow_down(Duration::ZERO, ms(50));
    assert_eq!(queue.pace.rate_at(ms(50)), 2.0);
}

#[test]
fn after_a_complaint_the_calls_are_really_fewer() {
    let mut queue = punctual(steady(40.0));
    queue.work_until(10 * SECOND);
    let now = queue.now;
    queue.pace.slow_down(now, now);
    queue.made.clear();
    queue.work_until(now + SECOND);
    // Half of 40, and 40/60 more a second; not one at once.
    assert!((18..=22).contains(&queue.made.len()), "{:?}", queue.made);
    assert!(queue.made[0] >= now + ms(40), "{:?}", queue.made);
}

#[test]
fn a_complaint_about_an_earlier_call_does_not_slow_down_again() {
    let mut queue = punctual(steady(10.0));
    queue.work_until(10 * SECOND);
    let at = queue.now;
    queue.pace.slow_down(at, at);
    let slowed = queue.pace.rate_at(at);
    for sent in [at - SECOND, at] {
        queue.pace.slow_down(sent, at + ms(500));
        assert_eq!(queue.pace.rate_at(at), slowed);
    }
    queue.work_until(at + 2 * SECOND);
    let again = queue.now;
    queue.pace.slow_down(at + ms(1), again);
    assert!(queue.pace.rate_at(again) < slowed, "{:?}", queue.pace);
}

#[test]
fn the_rate_comes_back_within_a_minute() {
    let mut pace = steady(60.0);
    assert_eq!(pace.rate_at(SECOND), 60.0);
    let mut now = Duration::ZERO;
    for _ in 0..20 {
        now += SECOND;
        pace.slow_down(now, now);
    }
    assert_eq!(pace.rate_at(now), 60.0 / 64.0);
    assert_eq!(rate_after(&pace, now, 30), 60.0 / 64.0 + 30.0);
    assert!(rate_after(&pace, now, 59) < 60.0);
    assert_eq!(rate_after(&pace, now, 60), 60.0);
    assert_eq!(rate_after(&pace, now, 6_000), 60.0);
}

#[test]
fn the_rate_has_a_floor() {
    for (rate, lowest) in [(640.0, 10.0), (2.0, 0.1), (0.05, 0.05)] {
        let mut pace = steady(rate);
        let mut now = Duration::ZERO;
        for _ in 0..20 {
            now += ms(1);
            pace.slow_down(now, now);
        }
        assert_eq!(pace.rate_at(now), lowest, "{rate}");
        // A call comes all the same, in ten seconds or at its own pace.
        let wait = pace.take(now).expect_err("a pause");
        assert_eq!(wait, Duration::from_secs_f64(1.0 / lowest));
        assert_eq!(pace.take(now + wait), Ok(()), "{rate}");
    }
}

#[test]
fn a_pause_holds_every_call_back() {
    let mut queue = punctual(steady(10.0));
    queue.call(Duration::ZERO);
    queue.pace.pause_until(7 * SECOND);
    // A shorter one changes nothing.
    queue.pace.pause_until(3 * SECOND);
    assert_eq!(queue.pace.take(SECOND), Err(6 * SECOND));
    queue.call(SECOND);
    queue.call(SECOND);
    assert_eq!(queue.made, [0, 7_000, 7_050].map(ms));
}

/// So slow that the next call comes in more seconds than a computer counts.
#[test]
fn a_rate_may_be_absurdly_small() {
    let mut pace = Pace::new(1e-300, 1, None);
    assert_eq!(pace.take(Duration::ZERO), Ok(()));
    assert!(pace.take(SECOND).is_err_and(|wait| wait > 1_000 * SECOND));
}

#[test]
fn a_provider_may_say_to_come_back_never() {
    let limiter = Limiter::new(10.0, 1, None, &[]);
    let sent = limiter.now();
    limiter.slow_down(sent, Some(Duration::MAX));
}

/// The rate that is asked for is used, though timers ring late.
#[test]
fn late_timers_cost_nearly_no_calls() {
    for rate in 1..=100_u32 {
        let late = std::iter::repeat(ms(2));
        let mut queue = Queue::new(steady(f64::from(rate)), late);
        queue.work_until(100 * SECOND);
        let share = queue.made.len() as f64 / (f64::from(rate) * 100.0);
        assert!(share >= 0.98, "{rate} a second: {share}");
    }
}

/// A rate, a whole one or not.
fn any_rate() -> impl Strategy<Value = f64> {
    prop_oneof![(1_u32..=500).prop_map(f64::from), 0.1_f64..500.0]
}

fn any_window() -> impl Strategy<Value = Window> {
    (1_u32..50, 1_u64..60_000).prop_map(|(requests, per)| Window {
        requests,
        per: ms(per),
    })
}

/// When calls come: pauses between them, mostly none.
fn any_gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![6 => Just(0), 2 => 0_u64..50, 1 => 0_u64..5_000];
    prop::collection::vec(gap, 1..300)
}

fn any_lateness() -> impl Strategy<Value = Vec<u64>> {
    let late = prop_oneof![Just(0), 0_u64..5_000, 0_u64..40_000];
    prop::collection::vec(late, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the pattern, whatever the provider complains about.
    #[test]
    fn no_second_has_more_calls_than_the_rate_and_the_burst(
        rate in any_rate(),
        burst in prop::option::of(1_u32..40),
        window in prop::option::of(any_window()),
        gaps in any_gaps(),
        late_us in any_lateness(),
        complaints in prop::collection::vec(0_usize..300, 0..4),
    ) {
        let burst = burst.unwrap_or(default_burst(rate));
        let late = late_us.iter().cycle().map(|us| Duration::from_micros(*us));
        let mut queue = Queue::new(Pace::new(rate, burst, window), late);
        let mut arrival = Duration::ZERO;
        for (n, gap) in gaps.iter().enumerate() {
            arrival += ms(*gap);
            queue.call(arrival);
            if complaints.contains(&n) {
                let now = queue.now;
                queue.pace.slow_down(now, now);
                queue.pace.pause_until(now + ms(*gap));
            }
        }
        let most = most_in(&queue.made, SECOND);
        prop_assert!(most <= most_in_a_second(rate, burst), "{most} calls in a second");
        if rate.fract() == 0.0 {
            prop_assert!(most <= rate as usize + burst as usize, "{most} calls in a second");
        }
        if let Some(window) = window {
            let most = most_in(&queue.made, window.per);
            prop_assert!(most <= window.requests as usize, "{most} calls in {:?}", window.per);
        }
        prop_assert!(queue.made.is_sorted());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_work_all_the_time_the_rate_is_used(
        rate in 1.0_f64..=100.0,
        // What a timer is late by cannot be made up for where no two calls may follow at once: at
        // most 40 of these a second, so 1.6 %.
        late_us in prop::collection::vec(0_u64..=400, 1..50),
    ) {
        let late = late_us.iter().cycle().map(|us| Duration::from_micros(*us));
        let mut queue = Queue::new(steady(rate), late);
        queue.work_until(100 * SECOND);
        let share = queue.made.len() as f64 / (rate * 100.0);
        prop_assert!(share >= 0.98, "{share}");
    }
}
