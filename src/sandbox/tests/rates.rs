//! A world with a given number of notes a day.

use std::collections::HashSet;

use super::bench::{self, Bench, note_ids};
use super::{KEYWORD, TOKEN, WORLD, noon};
use crate::sandbox::world::note::Note;
use crate::sandbox::world::phrases::TOPICS;
use crate::sandbox::world::stream::{BEGINNING, DAY, HOUR, Stream, World};
use crate::sandbox::{Options, Sandbox, SandboxClock};

#[test]
fn every_stream_has_that_many_notes_on_every_day() {
    for notes_a_day in [1, 7, 500, 2_000] {
        let world = World {
            notes_a_day: Some(notes_a_day),
            ..WORLD
        };
        for topic in TOPICS.iter().take(2) {
            let stream = Stream::of(topic.name);
            let days = 3;
            let end = BEGINNING + 200 * DAY;
            let notes: Vec<_> = world
                .notes(stream, end - 1)
                .take_while(|note| note.published_at >= end - days * DAY)
                .collect();
            for day in 1..=days {
                let day = end - day * DAY..end - (day - 1) * DAY;
                let of_day = notes.iter().filter(|note| day.contains(&note.published_at));
                assert_eq!(of_day.count() as u64, notes_a_day);
            }
            let ids: HashSet<_> = notes.iter().map(|note| &note.id).collect();
            assert_eq!(ids.len(), notes.len());
            assert!(notes.iter().all(|note| world.note(&note.id, end).is_some()));
        }
    }
}

#[test]
fn late_notes_become_visible_one_to_three_hours_after_their_publication() {
    let stream = Stream::of(TOPICS[0].name);
    let end = BEGINNING + 200 * DAY;
    let world = |late_percent| World {
        notes_a_day: Some(500),
        late_percent,
        ..WORLD
    };
    let ids = |world: World, now| -> Vec<String> {
        let latest = world.notes(stream, now).take(1_000);
        latest.map(|note| note.id).collect()
    };
    // Four hours later all of them are visible, in the same order as without late ones.
    let begun = |id: &String| i64::from_str_radix(&id[..8], 16).unwrap() <= end;
    let mut later = ids(world(20), end + 3 * HOUR);
    later.retain(begun);
    let now = ids(world(20), end);
    let all = ids(world(0), end);
    assert_eq!(later[..], all[..later.len()]);
    assert!(now.iter().all(|id| all.contains(id) || !later.contains(id)));
    let late: Vec<_> = world(20)
        .notes(stream, end)
        .take(1_000)
        .map(|note| note.visible_at() - note.published_at)
        .filter(|delay| *delay != 0)
        .collect();
    assert!((150..250).contains(&late.len()), "{} of 1,000", late.len());
    assert!(late.iter().all(|delay| (HOUR..=3 * HOUR).contains(delay)));
    let hidden = later.iter().find(|id| !now.contains(id)).unwrap();
    assert!(world(20).note(hidden, end).is_none());
    assert!(world(20).note(hidden, end + 3 * HOUR).is_some());
    assert!(world(0).note(hidden, end).is_some());
}

fn options(notes_a_day: u64) -> Options {
    Options {
        notes_a_day: Some(notes_a_day),
        ..Options::new(SandboxClock::frozen(noon()), TOKEN.into())
    }
}

#[tokio::test]
async fn an_hour_brings_its_share_of_new_notes() {
    let bench = Bench::with(options(240)).await;
    let page = async || note_ids(&bench::json(bench.search_page(KEYWORD, 1)).await);
    let before = page().await;
    assert_eq!(page().await, before);
    let url = format!("{}/_sandbox/clock", bench.base);
    let advance = bench.client.post(url).body(r#"{"advance_seconds": 3600}"#);
    advance.send().await.unwrap();
    let after = page().await;
    let new = after.iter().filter(|id| !before.contains(id)).count();
    assert!((9..=11).contains(&new), "{new} new notes");
}

#[tokio::test]
async fn a_rate_that_the_world_cannot_have_is_refused() {
    for rate in [0, 2_001] {
        let contracts = std::sync::Arc::new(super::contracts());
        assert!(Sandbox::start(options(rate), contracts).await.is_err());
    }
    let wrong = [
        Options {
            late_percent: 101,
            ..options(240)
        },
        Options {
            removed_percent: 101,
            ..options(240)
        },
        Options {
            retitled_percent: 101,
            ..options(240)
        },
    ];
    for options in wrong {
        let contracts = std::sync::Arc::new(super::contracts());
        assert!(Sandbox::start(options, contracts).await.is_err());
    }
}

const WORLD_OF_500: World = World {
    notes_a_day: Some(500),
    ..WORLD
};

/// The notes of the last days before `end`.
fn latest(world: World, end: i64, days: i64) -> Vec<Note> {
    let notes = world.notes(Stream::of(TOPICS[0].name), end);
    let is_new = |note: &Note| note.published_at > end - days * DAY;
    notes.take_while(is_new).collect()
}

#[test]
fn removed_notes_disappear_two_to_ten_days_after_their_publication() {
    let end = BEGINNING + 200 * DAY;
    let world = World {
        removed_percent: 20,
        ..WORLD_OF_500
    };
    let before = latest(world, end, 3);
    let removed: Vec<&Note> = before.iter().filter(|n| n.removed_at().is_some()).collect();
    assert!((200..350).contains(&removed.len()), "{}", removed.len());
    for note in &removed {
        let removed_at = note.removed_at().unwrap();
        let days = (removed_at - note.published_at) as f64 / DAY as f64;
        assert!((2.0..=10.0).contains(&days), "{days}");
        assert!(world.note(&note.id, removed_at - 1).is_some());
        assert!(world.note(&note.id, removed_at).is_none());
    }
    let found = latest(world, end + 10 * DAY, 13);
    assert!(
        !found.is_empty()
            && found
                .iter()
                .all(|found| removed.iter().all(|gone| gone.id != found.id))
    );
    // Without removals all of them stay, and nothing else is different.
    let all = latest(WORLD_OF_500, end, 3);
    let ids = |notes: &[Note]| -> Vec<String> { notes.iter().map(|n| n.id.clone()).collect() };
    let mut stayed = ids(&all);
    stayed.retain(|id| ids(&before).contains(id));
    assert_eq!(ids(&before), stayed);
    assert!(all.iter().all(|note| note.removed_at().is_none()));
}

#[test]
fn retitled_notes_get_another_title_and_keep_the_rest() {
    let end = BEGINNING + 200 * DAY;
    let world = World {
        retitled_percent: 20,
        ..WORLD_OF_500
    };
    let notes = latest(world, end, 3);
    let retitled: Vec<&Note> = notes.iter().filter(|n| n.retitled_at().is_some()).collect();
    assert!((200..400).contains(&retitled.len()), "{}", retitled.len());
    for note in retitled {
        let at = note.retitled_at().unwrap();
        let days = (at - note.published_at) as f64 / DAY as f64;
        assert!((1.0..=8.0).contains(&days), "{days}");
        let plain = WORLD_OF_500.note(&note.id, at).unwrap();
        assert_eq!(note.text(at - 1), plain.text(at - 1));
        assert_ne!(note.text(at).title, plain.text(at).title);
        assert_eq!(note.text(at).plain(), plain.text(at).plain());
    }
}
