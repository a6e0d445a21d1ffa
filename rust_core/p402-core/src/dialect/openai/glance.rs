//! Decides, in one pass over a chunk, whether it may leave as the bytes it came in.
//! Does not mend: whatever it does not know to be regular it calls odd.

use crate::dialect::wire::json::{Literal, Walk, whole_of};

/// What one look at a chunk shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance<'a> {
    pub(super) id: Option<&'a [u8]>,
    pub(super) created: Option<&'a [u8]>,
    pub(super) model: Option<&'a [u8]>,
    pub(super) service_tier: Option<&'a [u8]>,
    /// The last usage that is not null, wherever it stood.
    pub(super) usage: Option<&'a [u8]>,
    /// The frame is an error, or carries one.
    pub(super) error: bool,
    /// Something is there that only `mend` may judge.
    pub(super) odd: bool,
    /// `object` is the chunk's.
    pub(super) named: bool,
    /// Length of `choices`; 0 where there are none.
    pub(super) choices: u32,
    /// The last choice.
    pub(super) choice: ChoiceGlance<'a>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ChoiceGlance<'a> {
    pub(super) index: Option<u32>,
    /// The finish word; absent where null or missing.
    pub(super) finish: Option<Literal<'a>>,
    pub(super) role: bool,
    /// Bytes of answer text, reasoning and tool arguments.
    pub(super) text_bytes: u64,
    /// Carries something of the answer beside text.
    pub(super) bearing: bool,
    pub(super) tool: Option<ToolGlance<'a>>,
}

/// One fragment of a tool call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ToolGlance<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Literal<'a>,
    pub(super) name: Literal<'a>,
    pub(super) typed: bool,
    pub(super) argument_bytes: u64,
}

impl ChoiceGlance<'_> {
    /// Something of the answer is in it.
    pub(super) fn bears_content(&self) -> bool {
        self.text_bytes > 0 || self.bearing || self.tool.is_some()
    }
}

/// Looks at one frame; `None` where it is not a JSON object.
pub(super) fn glance(frame: &[u8]) -> Option<Glance<'_>> {
    std::str::from_utf8(frame).ok()?;
    let mut walk = Walk::new(frame);
    walk.eat(b'{')?;
    let (mut seen, mut first) = (Glance::default(), true);
    while let Some(key) = walk.key(&mut first)? {
        seen.member(key, &mut walk)?;
    }
    walk.at_end().then_some(seen)
}

impl<'a> Glance<'a> {
    fn member(&mut self, key: Literal<'a>, walk: &mut Walk<'a>) -> Option<()> {
        match key.raw {
            b"choices" if walk.peek() == b'[' => self.choices(walk)?,
            b"id" => once(&mut self.id, walk.value()?, &mut self.odd),
            b"created" => once(&mut self.created, walk.value()?, &mut self.odd),
            b"model" => once(&mut self.model, walk.value()?, &mut self.odd),
            b"object" => {
                let object = walk.value()?;
                self.named = object == b"\"chat.completion.chunk\"";
                self.error |= object == b"\"error\"";
            }
            b"usage" => {
                let usage = walk.value()?;
                if usage != b"null" {
                    self.usage = Some(usage);
                    self.odd = true;
                }
            }
            b"x_groq" if walk.peek() == b'{' => self.nested_usage(walk)?,
            b"error" => {
                let error = walk.value()?;
                self.error |= error != b"null";
                self.odd = true;
            }
            b"service_tier" => self.service_tier = Some(walk.value()?),
            b"p402_metadata" => {
                walk.value()?;
                self.odd = true;
            }
            _ => {
                walk.value()?;
                self.odd |= key.escaped;
            }
        }
        Some(())
    }

    /// Usage inside a vendor's own object counts where no other is there.
    fn nested_usage(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        walk.eat(b'{')?;
        let mut first = true;
        while let Some(key) = walk.key(&mut first)? {
            let value = walk.value()?;
            if key.raw == b"usage" && value != b"null" && self.usage.is_none() {
                self.usage = Some(value);
            }
            self.error |= key.raw == b"error" && value != b"null";
        }
        Some(())
    }

    fn choices(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        walk.eat(b'[')?;
        self.odd |= self.choices > 0;
        let mut first = true;
        while walk.item(&mut first)? {
            self.choices = self.choices.saturating_add(1);
            if walk.peek() == b'{' {
                self.choice = ChoiceGlance::default();
                self.choice(walk)?;
            } else {
                walk.value()?;
                self.odd = true;
            }
        }
        self.odd |= self.choices > 1;
        Some(())
    }

    fn choice(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        walk.eat(b'{')?;
        let (mut first, mut delta) = (true, false);
        while let Some(key) = walk.key(&mut first)? {
            match key.raw {
                b"index" => self.choice.index = whole_of(walk.value()?).and_then(narrow),
                b"delta" if walk.peek() == b'{' && !delta => {
                    delta = true;
                    self.delta(walk)?;
                }
                b"finish_reason" if walk.peek() == b'"' => {
                    self.choice.finish = Some(walk.string()?);
                }
                b"finish_reason" => self.odd |= walk.value()? != b"null",
                b"delta" | b"message" | b"text" | b"error" => {
                    walk.value()?;
                    self.odd = true;
                }
                _ => {
                    walk.value()?;
                    self.odd |= key.escaped;
                }
            }
        }
        self.odd |= !delta || self.choice.index.is_none();
        Some(())
    }

    fn delta(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        walk.eat(b'{')?;
        let (mut first, mut reasoning) = (true, 0);
        while let Some(key) = walk.key(&mut first)? {
            match (key.raw, walk.peek()) {
                (b"role", _) => {
                    self.odd |= walk.value()? != b"\"assistant\"" || self.choice.role;
                    self.choice.role = true;
                }
                (b"content" | b"refusal", b'"') => {
                    self.choice.text_bytes += walk.string()?.text_bytes();
                }
                // Two names of one text: upstreams that send both send it twice.
                (b"reasoning_content" | b"reasoning", b'"') => {
                    reasoning = walk.string()?.text_bytes().max(reasoning);
                }
                (b"tool_calls", b'[') => self.tools(walk)?,
                (b"content" | b"tool_calls", _) => self.odd |= walk.value()? != b"null",
                (b"function_call" | b"audio", _) => {
                    let value = walk.value()?;
                    self.odd |= value != b"null";
                }
                (_, b'[') => self.odd |= !matches!(walk.value()?, b"[]"),
                _ => {
                    walk.value()?;
                    self.odd |= key.escaped;
                }
            }
        }
        self.choice.text_bytes += reasoning;
        Some(())
    }

    fn tools(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        walk.eat(b'[')?;
        let mut first = true;
        while walk.item(&mut first)? {
            self.odd |= self.choice.tool.is_some() || walk.peek() != b'{';
            if walk.peek() == b'{' {
                self.tool(walk)?;
            } else {
                walk.value()?;
            }
        }
        Some(())
    }

    fn tool(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        walk.eat(b'{')?;
        let (mut first, mut tool) = (true, ToolGlance::default());
        while let Some(key) = walk.key(&mut first)? {
            match (key.raw, walk.peek()) {
                (b"index", _) => tool.index = whole_of(walk.value()?),
                (b"id", b'"') => tool.id = walk.string()?,
                (b"type", _) => {
                    let kind = walk.value()?;
                    tool.typed = kind == b"\"function\"";
                    self.odd |= !tool.typed && kind != b"null";
                }
                (b"function", b'{') => self.function(walk, &mut tool)?,
                (b"id", _) => self.odd |= walk.value()? != b"null",
                _ => {
                    walk.value()?;
                    self.odd = true;
                }
            }
        }
        self.choice.text_bytes += tool.argument_bytes;
        self.choice.tool = Some(tool);
        Some(())
    }

    fn function(&mut self, walk: &mut Walk<'a>, tool: &mut ToolGlance<'a>) -> Option<()> {
        walk.eat(b'{')?;
        let mut first = true;
        while let Some(key) = walk.key(&mut first)? {
            match (key.raw, walk.peek()) {
                (b"name", b'"') => tool.name = walk.string()?,
                (b"arguments", b'"') => tool.argument_bytes = walk.string()?.text_bytes(),
                (b"name" | b"arguments", _) => self.odd |= walk.value()? != b"null",
                _ => {
                    walk.value()?;
                    self.odd |= key.escaped;
                }
            }
        }
        Some(())
    }
}

/// Notes a value; a doubled key is odd.
fn once<'a>(known: &mut Option<&'a [u8]>, value: &'a [u8], odd: &mut bool) {
    *odd |= known.replace(value).is_some();
}

fn narrow(index: u64) -> Option<u32> {
    u32::try_from(index).ok()
}
