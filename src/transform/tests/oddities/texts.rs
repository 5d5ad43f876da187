//! Words, hashtags and counts as people and apps write them.

use super::Oddities;
use super::written::{HIGH_HALF, LOW_HALF};

const WORDS: [&str; 16] = [
    "洗衣机",
    "通勤",
    "早八人",
    "新手妈妈",
    "OOTD",
    "coffee",
    "廣州",
    "2026春",
    "\u{1F600}",
    "\u{2615}\u{FE0F}",
    "A&B",
    "C+",
    "男・女",
    "na\u{308}ive",
    "\"quoted\" \\ back/slash",
    "tab\tline\nend",
];

impl Oddities {
    pub fn word(&mut self) -> String {
        (*self.one_of(&WORDS)).to_owned()
    }

    /// Some words, some of them hashtags.
    pub fn sentence(&mut self) -> String {
        let words = self.random.usize(0..6);
        let mut text: Vec<String> = (0..words).map(|_| self.word()).collect();
        if self.odd("half an emoji", 40) {
            text.push(self.one_of(&[HIGH_HALF, LOW_HALF]).to_string());
        }
        let between = *self.one_of(&[" ", "", "\u{3000}", "\u{FF0C}"]);
        text.join(between)
    }

    /// The same with hashtags in it.
    pub fn tagged(&mut self) -> String {
        let mut text = self.sentence();
        for _ in 0..self.random.usize(1..4) {
            let tag = self.hashtag();
            text.push_str(&tag);
            if self.odd("a hashtag that comes twice", 10) {
                text.push_str(&tag);
            }
            if self.random.bool() {
                text.push(' ');
            }
        }
        text
    }

    fn hashtag(&mut self) -> String {
        let word = self.word();
        if self.odd("a sign inside a word", 20) {
            return format!("{}#{word}", self.one_of(&["C", "1", "é", "a_", "\u{FF11}"]));
        }
        if self.odd("a sign in an address", 20) {
            let address = *self.one_of(&[" https://x.example/#", " www.x.example/a-#"]);
            return format!("{address}{word}#{word}");
        }
        if self.odd("a hashtag with a mark", 20) {
            return format!("#{word}\u{301}");
        }
        if self.odd("a sign without a tag", 20) {
            return (*self.one_of(&["#", "# ", "##", "#[话题]#", "#!", "#\u{FF0C}"])).to_owned();
        }
        if self.odd("a keycap emoji", 20) {
            return format!("#\u{FE0F}\u{20E3}{}", self.one_of(&["", "1", "买[话题]#"]));
        }
        let sign = if self.odd("a hashtag behind a full-width sign", 6) {
            "\u{FF03}"
        } else {
            "#"
        };
        if self.odd("a linked hashtag", 2) {
            format!("{sign}{word}[话题]{}", self.one_of(&["#", sign, ""]))
        } else {
            format!("{sign}{word}")
        }
    }

    /// A count as an app shows it.
    pub fn count_text(&mut self) -> String {
        if self.odd("a count that is none", 30) {
            let none = [
                "1.23456万",
                "许多",
                ".5万",
                "12人",
                "1.2.3",
                "99999999999亿",
                "3万亿",
            ];
            return (*self.one_of(&none)).to_owned();
        }
        let (whole, tenth) = (self.random.u32(1..2_000), self.random.u32(0..10));
        let text = match self.random.u32(0..7) {
            0 => {
                self.count("a count in 万");
                format!("{whole}.{tenth}万")
            }
            1 => {
                self.count("a count in 万+");
                format!("{whole}万+")
            }
            2 => {
                self.count("a count as 999+");
                "999+".to_owned()
            }
            3 => {
                self.count("a count in another unit");
                format!("{whole}.{tenth}{}", self.one_of(&["w", "千", "亿", "K"]))
            }
            4 => {
                self.count("a count with a comma");
                format!("{whole},{tenth}00")
            }
            _ => whole.to_string(),
        };
        if self.odd("a count in full-width digits", 8) {
            return full_width(&text);
        }
        text
    }
}

fn full_width(text: &str) -> String {
    let wide = |c: char| match c {
        '0'..='9' | '+' | '.' | ',' => char::from_u32(c as u32 + 0xFEE0).unwrap_or(c),
        c => c,
    };
    text.chars().map(wide).collect()
}
