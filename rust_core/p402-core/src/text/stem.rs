//! Decides which forms of an English word are one word: plurals, tenses, comparison left alone.
//! Does not join words of different meaning; in doubt two forms stay two words.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Forms that no ending explains: base, then its forms.
const IRREGULAR: &str = "\
be:is,are,am,was,were,been,being do:does,did,done,doing have:has,had,having \
go:goes,went,gone,going make:made,makes,making take:took,taken,takes write:wrote,written,writes \
win:won,wins,winning begin:began,begun,beginning build:built buy:bought bring:brought \
catch:caught choose:chose,chosen come:came draw:drew,drawn drive:drove,driven eat:ate,eaten \
fall:fell,fallen feel:felt find:found fly:flew,flown,flies forget:forgot,forgotten \
get:got,gotten,getting give:gave,given grow:grew,grown hear:heard hold:held keep:kept \
know:knew,known lead:led learn:learnt lend:lent lose:lost,losing mean:meant meet:met pay:paid \
run:ran,running say:said see:saw,seen sell:sold send:sent sing:sang,sung sit:sat,sitting \
sleep:slept speak:spoke,spoken spend:spent stand:stood steal:stole,stolen \
swim:swam,swum,swimming teach:taught tell:told think:thought throw:threw,thrown \
understand:understood wear:wore,worn freeze:froze,frozen break:broke,broken invent:invented \
child:children man:men woman:women person:people foot:feet tooth:teeth mouse:mice goose:geese \
leaf:leaves life:lives wife:wives knife:knives half:halves index:indices,indexes matrix:matrices \
analysis:analyses crisis:crises datum:data criterion:criteria use:using,used,uses die:died,dying \
lie:lying tie:tying plane:planes scrape:scrapes,scraped,scraping stripe:stripes,striped \
breathe:breathes,breathed,breathing clothe:clothed bathe:bathing,bathed";
/// Endings that look like one and are none.
const WHOLE: &str = "\
news always perhaps species series this thus bus gas yes plus less us is was has his lens canvas \
atlas status virus bonus campus census focus bias basis thesis process access address business \
class pass press mass glass cross process success loss red bed need speed feed seed king ring \
thing spring string morning evening during nothing something anything everything wedding \
building ceiling hundred wing sing bring embed shed sled exceed proceed indeed css dns aws https \
kubernetes redis postgres pandas paris texas athens mars james christmas physics mathematics \
politics economics ethics statistics";

fn irregular() -> &'static HashMap<&'static str, &'static str> {
    static TABLE: OnceLock<HashMap<&'static str, &'static str>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let groups = IRREGULAR.split_whitespace().filter_map(|group| group.split_once(':'));
        let forms = groups.flat_map(|(base, forms)| forms.split(',').map(move |form| (form, base)));
        forms.chain(WHOLE.split_whitespace().map(|word| (word, word))).collect()
    })
}

/// The base form of a folded word.
pub fn stem(word: &str) -> Cow<'_, str> {
    if let Some(base) = irregular().get(word) {
        return Cow::Borrowed(base);
    }
    if word.len() < 4 || !word.is_ascii() {
        return Cow::Borrowed(word);
    }
    if let Some(base) = word.strip_suffix("ies").filter(|base| base.len() > 1) {
        return Cow::Owned(format!("{base}y"));
    }
    for ending in ["sses", "shes", "ches", "xes", "zes"] {
        if word.ends_with(ending) {
            return Cow::Borrowed(word.get(..word.len() - 2).unwrap_or(word));
        }
    }
    if word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us") {
        return Cow::Borrowed(silent(word.trim_end_matches('s')));
    }
    for ending in ["ied", "ing", "ed"] {
        let Some(base) = word.strip_suffix(ending) else { continue };
        if base.len() < 2 || !base.contains(['a', 'e', 'i', 'o', 'u', 'y']) {
            continue;
        }
        return if ending == "ied" { Cow::Owned(format!("{base}y")) } else { undoubled(base) };
    }
    Cow::Borrowed(silent(word))
}

/// What stood before `ing` or `ed`: `stopp` is `stop`, `fall` stays, `hop` was `hope`.
fn undoubled(base: &str) -> Cow<'_, str> {
    let bytes = base.as_bytes();
    let [.., before, last] = bytes else { return Cow::Borrowed(silent(base)) };
    if before == last {
        let doubled = !matches!(last, b'l' | b's' | b'z' | b'e' | b'o');
        let single = base.get(..base.len() - usize::from(doubled)).unwrap_or(base);
        return Cow::Borrowed(silent(single));
    }
    let vowel = |byte: u8| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u');
    match bytes {
        // Four letters: too short for the final `e` to be silent.
        [first, middle, last]
            if !vowel(*first)
                && vowel(*middle)
                && !vowel(*last)
                && !matches!(last, b'w' | b'x' | b'y') =>
        {
            Cow::Owned(format!("{base}e"))
        }
        _ => Cow::Borrowed(silent(base)),
    }
}

/// A silent final `e` is dropped on longer forms, so that `creating`, `creates`, `create` meet.
fn silent(base: &str) -> &str {
    let long = base.len() > 4 && !base.ends_with("ee");
    base.strip_suffix('e').filter(|_| long).unwrap_or(base)
}
