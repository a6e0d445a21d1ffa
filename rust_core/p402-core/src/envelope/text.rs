//! Decides how text bytes are counted by class, fast enough to do it for every byte of a prompt.
//! Does not estimate tokens (catalog/estimate.rs).

use super::types::TextBytes;

/// Four counters of twelve bits in one word: a short stretch is counted in a register.
const FIELD_BITS: u32 = 12;
const LETTER: u64 = 1;
const DIGIT: u64 = 1 << FIELD_BITS;
const STRUCTURE: u64 = 1 << (2 * FIELD_BITS);
const NON_ASCII: u64 = 1 << (3 * FIELD_BITS);
/// Ends a stretch: quote, backslash, control character.
const STOP: u64 = 1 << 63;

/// Up to here bytes are looked up one by one; beyond, blocks pay.
const SHORT_MAX: usize = 16;
/// A byte lane counts to 255 before it must be emptied.
const LANES: usize = 16;
const ROUNDS_MAX: usize = 255;

static UNITS: [u64; 256] = units();

const fn units() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0..=0x1F | b'"' | b'\\' => STOP,
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'{' | b'}' | b'[' | b']' | b':' | b',' => STRUCTURE,
            0x80..=0xFF => NON_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// The start of a string's rest: what stands before its first stop, as far as it was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) len: usize,
    /// A stop follows; else the short look found none.
    pub(super) stopped: bool,
    counts: u64,
}

/// Looks at the first bytes one by one: most strings of a request are keys and short words.
pub(super) fn stretch(bytes: &[u8]) -> Stretch {
    let head = bytes.get(..SHORT_MAX).unwrap_or(bytes);
    let mut counts = 0;
    for (len, byte) in head.iter().enumerate() {
        let unit = UNITS[usize::from(*byte)];
        if unit & STOP != 0 {
            return Stretch { len, stopped: true, counts };
        }
        counts += unit;
    }
    Stretch { len: head.len(), stopped: false, counts }
}

/// How many bytes stand before the next quote or backslash (or the end).
pub(super) fn long_run(bytes: &[u8]) -> usize {
    memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

/// Whether a byte below a blank occurs.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |seen, byte| seen | u8::from(*byte < 0x20)) != 0
}

impl TextBytes {
    pub(super) fn add_stretch(&mut self, stretch: Stretch) {
        let field = |index: u32| (stretch.counts >> (index * FIELD_BITS)) & 0xFFF;
        self.total += stretch.len as u64;
        self.ascii_letters += field(0);
        self.ascii_digits += field(1);
        self.structure += field(2);
        self.non_ascii += field(3);
    }

    /// Counts bytes that hold neither quotes nor backslashes; false where a control byte occurs.
    pub(super) fn add(&mut self, bytes: &[u8]) -> bool {
        let (blocks, mut tail) = bytes.as_chunks::<LANES>();
        let mut regular = true;
        self.total += (blocks.len() * LANES) as u64;
        for group in blocks.chunks(ROUNDS_MAX) {
            regular &= self.add_blocks(group);
        }
        while !tail.is_empty() {
            let stretch = stretch(tail);
            self.add_stretch(stretch);
            regular &= !stretch.stopped;
            // One past a stop: it is a control byte, and the text is refused anyway.
            let passed = stretch.len + usize::from(stretch.stopped);
            tail = tail.get(passed..).unwrap_or_default();
        }
        regular
    }

    /// Counts one unescaped character.
    pub(super) fn add_char(&mut self, character: char) {
        let len = character.len_utf8() as u64;
        self.total += len;
        match character {
            'a'..='z' | 'A'..='Z' => self.ascii_letters += 1,
            '0'..='9' => self.ascii_digits += 1,
            '{' | '}' | '[' | ']' | '"' | ':' | ',' => self.structure += 1,
            '\u{80}'.. => self.non_ascii += len,
            _ => {}
        }
    }

    /// At most `ROUNDS_MAX` blocks; written in lanes so that the compiler vectorises it.
    fn add_blocks(&mut self, blocks: &[[u8; LANES]]) -> bool {
        let mut letters = [0u8; LANES];
        let mut digits = [0u8; LANES];
        let mut structure = [0u8; LANES];
        let mut non_ascii = [0u8; LANES];
        let mut control = [0u8; LANES];
        for block in blocks {
            for lane in 0..LANES {
                let byte = block[lane];
                // One case for letters; `{[` and `}]` fall together, `:` and `,` keep theirs.
                let low = byte | 0x20;
                let letter = low.wrapping_sub(b'a') < 26;
                let digit = byte.wrapping_sub(b'0') < 10;
                let sign = u8::from(low == b'{')
                    | u8::from(low == b'}')
                    | u8::from(byte == b':')
                    | u8::from(byte == b',');
                // Wrapping, since an overflow check per lane would undo the vector; see ROUNDS_MAX.
                letters[lane] = letters[lane].wrapping_add(u8::from(letter));
                digits[lane] = digits[lane].wrapping_add(u8::from(digit));
                structure[lane] = structure[lane].wrapping_add(sign);
                non_ascii[lane] = non_ascii[lane].wrapping_add(byte >> 7);
                control[lane] |= u8::from(byte < 0x20);
            }
        }
        let sum = |lanes: [u8; LANES]| lanes.iter().map(|lane| u64::from(*lane)).sum::<u64>();
        self.ascii_letters += sum(letters);
        self.ascii_digits += sum(digits);
        self.structure += sum(structure);
        self.non_ascii += sum(non_ascii);
        sum(control) == 0
    }
}
