//! What open_clip does to a text before it makes tokens of it: `ftfy.fix_text`, `html.unescape` twice, small letters.
//!
//! Of ftfy this is all but the repair of texts that were read in a wrong encoding, terminal escapes and entities in capitals
//! (`&EACUTE;`); of `html.unescape` all but references without a semicolon and to control characters (`&copy 2020`, `&#150;`).

use html_escape::decode_html_entities;
use tokenizers::NormalizedString;

/// A text as open_clip's tokenizer goes on with it, in lower case, its words one space apart.
pub(crate) fn cleaned(text: &str) -> String {
    // What has a bracket may be HTML that is meant as such.
    let text = match text.contains('<') {
        true => text.into(),
        false => decode_html_entities(text),
    };
    let mut plain = String::with_capacity(text.len());
    text.chars().filter(|&c| !is_control(c)).for_each(|c| push_plain(c, &mut plain));
    let composed = normalized(&plain, NormalizedString::nfc);
    let once = decode_html_entities(&composed);
    let twice = decode_html_entities(&once);
    twice.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A character without what typography adds: curled quotes, ligatures, forms as wide as a Chinese character or half as wide.
fn push_plain(c: char, plain: &mut String) {
    match c {
        '\u{02bc}' | '\u{2018}'..='\u{201b}' => plain.push('\''),
        '\u{201c}'..='\u{201f}' => plain.push('"'),
        // Which NFKC would take further.
        'ﬅ' => plain.push_str("ſt"),
        'ŉ' => plain.push_str("'n"),
        '\u{3000}' => plain.push(' '),
        'Ĳ' | 'ĳ' | 'Ǆ'..='ǌ' | 'Ǳ'..='ǳ' | 'ﬀ'..='ﬆ' | '\u{ff01}'..='\u{ffef}' => {
            plain.push_str(&normalized(&c.to_string(), NormalizedString::nfkc));
        }
        c => plain.push(c),
    }
}

fn normalized(
    text: &str,
    form: impl FnOnce(&mut NormalizedString) -> &mut NormalizedString,
) -> String {
    let mut text = NormalizedString::from(text);
    form(&mut text).get().to_owned()
}

/// Control characters that ftfy takes out: those that are no white space, and some that Unicode has given up.
fn is_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{b}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffc}'
    )
}
