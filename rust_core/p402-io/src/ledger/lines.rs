//! Decides how a statement over many lines is written out for a number of them.
//! Knows no table: what is said before and after the lines is its maker's.

use std::fmt::Write;

/// A statement over many lines: `head ($1, $2), ($3, $4) … tail`, `width` parameters each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) head: &'static str,
    pub(super) tail: &'static str,
    pub(super) width: usize,
}

impl Lines {
    pub(super) fn sql(&self, lines: usize) -> String {
        let Self { head, tail, width } = *self;
        let mut sql = String::with_capacity(head.len() + tail.len() + lines * width * 6);
        sql.push_str(head);
        for line in 0..lines {
            sql.push_str(if line == 0 { " (" } else { ", (" });
            for column in 0..width {
                let comma = if column == 0 { "" } else { ", " };
                // Writing to a string does not fail.
                let _ = write!(sql, "{comma}${}", line * width + column + 1);
            }
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(tail);
        sql
    }
}
