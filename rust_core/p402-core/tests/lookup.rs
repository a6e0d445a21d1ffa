//! Shows that the index finds what a look at every vector finds, through all that happens to it.
//! Does not measure (benches/kernels/lookup.rs).

use multiversion::multiversion;
use p402_core::cache::index::{BEST_MAX, CHUNK, Candidate, Mark, Partition, Wish};
use p402_core::cache::signs::{self, Block};
use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_core::time::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn draw(seed: &mut u64) -> f32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    // The sum of a few even draws is near enough to a bell.
    let parts = seed.to_le_bytes().map(|byte| f32::from(byte) - 127.5);
    parts.iter().sum()
}

/// A vector near one of a few centres: neighbours at every cosine from .6 to 1.
fn vector(centre: u8, spread: u8, seed: u64) -> Vector {
    let mut own = (u64::from(centre) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut noise = seed | 1;
    let floats: [f32; DIMENSIONS] =
        std::array::from_fn(|_| draw(&mut own) + draw(&mut noise) * f32::from(spread) / 100.0);
    Vector::of(&floats)
}

#[derive(Clone, Debug)]
enum Step {
    Add { id: u64, centre: u8, spread: u8, seed: u64, created: i64, life: i64 },
    Remove(u64),
    Ask { centre: u8, spread: u8, seed: u64, threshold: f32, now: i64, not_before: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let add = (0_u64..40, 0_u8..3, 0_u8..80, any::<u64>(), 0_i64..100, 1_i64..200).prop_map(
        |(id, centre, spread, seed, created, life)| Step::Add {
            id,
            centre,
            spread,
            seed,
            created,
            life,
        },
    );
    let ask = (0_u8..3, 0_u8..40, any::<u64>(), 0.8_f32..1.0, 0_i64..300, 0_i64..100).prop_map(
        |(centre, spread, seed, threshold, now, not_before)| Step::Ask {
            centre,
            spread,
            seed,
            threshold,
            now,
            not_before,
        },
    );
    prop_oneof![5 => add, 2 => (0_u64..40).prop_map(Step::Remove), 3 => ask]
}

fn brute(all: &BTreeMap<u64, (Mark, Vector)>, wish: &Wish<'_>) -> Vec<Candidate> {
    let alive =
        all.values().filter(|(mark, _)| mark.expires > wish.now && mark.created >= wish.not_before);
    let near = alive.map(|(mark, own)| Candidate { id: mark.id, cosine: wish.vector.cosine(own) });
    let mut best: Vec<Candidate> = near.filter(|found| found.cosine >= wish.threshold).collect();
    best.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
    best.truncate(BEST_MAX);
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_scan_finds_what_a_look_at_everything_finds(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut partition = Partition::default();
        let mut all: BTreeMap<u64, (Mark, Vector)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add { id, centre, spread, seed, created, life } => {
                    let created_at = Timestamp::from_seconds(created);
                    let expires = Timestamp::from_seconds(created + life);
                    let mark = Mark { id, created: created_at, expires };
                    let own = vector(centre, spread, seed);
                    partition.add(mark, &own);
                    all.insert(id, (mark, own));
                }
                Step::Remove(id) => {
                    prop_assert_eq!(partition.remove(id), all.remove(&id).is_some());
                }
                Step::Ask { centre, spread, seed, threshold, now, not_before } => {
                    let own = vector(centre, spread, seed);
                    let (now, not_before) =
                        (Timestamp::from_seconds(now), Timestamp::from_seconds(not_before));
                    let wish = Wish { vector: &own, threshold, now, not_before };
                    prop_assert_eq!(partition.view().nearest(&wish), brute(&all, &wish));
                }
            }
            prop_assert_eq!(partition.len(), all.len());
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq"))]
fn wide(block: &Block<3>, wanted: &[u64; 3], radius: u64) -> u8 {
    multiversion::target::match_target! {
        "x86_64+avx512f+avx512vpopcntdq" => signs::wide::within(block, wanted, radius),
        _ => signs::within(block, wanted, radius),
    }
}

proptest! {
    #[test]
    fn every_processor_counts_alike(
        block in any::<Block<3>>(), wanted in any::<[u64; 3]>(), radius in 60_u64..130,
    ) {
        let near = signs::within(&block, &wanted, radius);
        prop_assert_eq!(wide(&block, &wanted, radius), near);
        for lane in 0..signs::LANES {
            let apart = block.iter().zip(wanted).map(|(words, own)| words[lane] ^ own);
            let apart: u32 = apart.map(u64::count_ones).sum();
            prop_assert_eq!(near & (1 << lane) != 0, u64::from(apart) <= radius);
        }
    }
}

#[test]
fn a_view_does_not_change_and_chunks_are_crossed() {
    let mut partition = Partition::default();
    let mark =
        |id| Mark { id, created: Timestamp::from_seconds(0), expires: Timestamp::from_seconds(9) };
    let far = vector(1, 0, 1);
    let near = vector(2, 0, 1);
    for id in 0..CHUNK as u64 + 10 {
        partition.add(mark(id), &far);
    }
    let last = CHUNK as u64 + 10;
    partition.add(mark(last), &near);
    let view = partition.view();
    assert!(partition.remove(3));
    assert!(partition.remove(last));
    let now = Timestamp::from_seconds(1);
    let wish = Wish { vector: &near, threshold: 0.9, now, not_before: Timestamp::from_seconds(0) };
    let ids = |found: Vec<Candidate>| found.iter().map(|one| one.id).collect::<Vec<u64>>();
    assert_eq!(ids(view.nearest(&wish)), [last]);
    assert_eq!(ids(partition.view().nearest(&wish)), Vec::<u64>::new());
    assert_eq!(partition.len(), CHUNK + 9);
    let wish = Wish { vector: &far, ..wish };
    assert_eq!(ids(partition.view().nearest(&wish)), [0, 1, 2, 4]);
}

#[test]
fn a_cosine_is_one_for_itself_and_nothing_for_zeros() {
    let own = vector(1, 0, 1);
    assert!((own.cosine(&own) - 1.0).abs() < 1e-6);
    assert!(own.cosine(&Vector::of(&[0.0; DIMENSIONS])).abs() < 1e-6);
    assert_eq!(Vector::from_bytes(own.values), own);
}
