//! Decides how text bytes are counted by class, fast enough to do it for every byte of a prompt.
//! Does not estimate tokens (catalog/estimate.rs).

use super::types::TextBytes;

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const STRUCTURE: u8 = 3;
const NON_ASCII: u8 = 4;
const CONTROL: u8 = 5;
/// Stops a plain run: quote, backslash.
const STOP: u8 = 6;

/// Up to here bytes are looked up one by one; beyond, blocks pay.
const SHORT_MAX: usize = 16;
/// A byte lane counts to 255 before it must be emptied.
const LANES: usize = 16;
const ROUNDS_MAX: usize = 255;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0..=0x1F => CONTROL,
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'{' | b'}' | b'[' | b']' | b':' | b',' => STRUCTURE,
            b'"' | b'\\' => STOP,
            0x80..=0xFF => NON_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    table
}

fn class(byte: u8) -> u8 {
    CLASS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How many bytes stand before the next quote or backslash (or the end).
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let head = bytes.get(..SHORT_MAX).unwrap_or(bytes);
    if let Some(at) = head.iter().position(|b| class(*b) == STOP) {
        return at;
    }
    let tail = bytes.get(head.len()..).unwrap_or_default();
    head.len() + memchr::memchr2(b'"', b'\\', tail).unwrap_or(tail.len())
}

/// Whether a byte below a blank occurs.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |seen, byte| seen | u8::from(*byte < 0x20)) != 0
}

impl TextBytes {
    /// Counts bytes that hold neither quotes nor backslashes; false where a control byte occurs.
    pub(super) fn add(&mut self, bytes: &[u8]) -> bool {
        self.total += bytes.len() as u64;
        let (blocks, tail) = bytes.as_chunks::<LANES>();
        let mut regular = true;
        for group in blocks.chunks(ROUNDS_MAX) {
            regular &= self.add_blocks(group);
        }
        for byte in tail {
            regular &= self.add_byte(*byte);
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

    fn add_byte(&mut self, byte: u8) -> bool {
        match class(byte) {
            LETTER => self.ascii_letters += 1,
            DIGIT => self.ascii_digits += 1,
            STRUCTURE => self.structure += 1,
            NON_ASCII => self.non_ascii += 1,
            CONTROL => return false,
            _ => {}
        }
        true
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
