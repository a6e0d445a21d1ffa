//! Shows that each processor's way of summing gives the sums of the plain one, exactly.
//! Does not choose between them (linear.rs does).

use multiversion::multiversion;
use p402_encoder::tile::{self, Block, Column, Sums};

const ROWS: usize = 5;
const INPUTS: usize = 384;

/// Bytes up to both ends of what the layers make: inputs 0…255, weights −63…63.
fn drawn(seed: &mut u64) -> u8 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    match *seed >> 61 {
        0 => 0,
        1 => u8::MAX,
        _ => (*seed >> 40) as u8,
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn narrow(rows: &[&[[u8; 4]]; ROWS], column: &Column) -> [Sums; ROWS] {
    multiversion::target::match_target! {
        "x86_64+avx2+fma" => tile::narrow::sums(rows, column),
        _ => tile::plain(rows, column),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vnni"))]
fn wide(rows: &[&[[u8; 4]]; ROWS], column: &Column) -> [Sums; ROWS] {
    multiversion::target::match_target! {
        "x86_64+avx512vnni" => tile::wide::sums(rows, column),
        _ => tile::plain(rows, column),
    }
}

#[test]
fn every_processor_sums_alike() {
    let mut seed = 402;
    for _ in 0..50 {
        let column: Vec<[Block; 4]> = (0..INPUTS / 4)
            .map(|_| {
                std::array::from_fn(|_| {
                    Block(std::array::from_fn(|_| {
                        (i16::from(drawn(&mut seed)) * 126 / 255 - 63) as i8
                    }))
                })
            })
            .collect();
        let rows: Vec<[u8; 4]> =
            (0..ROWS * INPUTS / 4).map(|_| std::array::from_fn(|_| drawn(&mut seed))).collect();
        let rows: [&[[u8; 4]]; ROWS] =
            std::array::from_fn(|at| &rows[at * INPUTS / 4..(at + 1) * INPUTS / 4]);
        let plain = tile::plain(&rows, &column);
        assert!(plain.as_flattened().iter().any(|sum| sum.abs() > 10_000));
        assert_eq!(narrow(&rows, &column), plain);
        assert_eq!(wide(&rows, &column), plain);
    }
}
