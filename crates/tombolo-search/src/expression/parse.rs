//! From text to expression, by recursive descent, one function a rule.

use super::{Expression, Term};

/// Bytes of an expression. Far more than anybody writes.
const MAX_BYTES: usize = 4_096;
/// Expressions within expressions.
const MAX_DEPTH: usize = 64;
/// Terms, each of which every photo is compared with.
const MAX_TERMS: usize = 32;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Something stands where it cannot.
    #[error("column {column}: expected {expected}, found {found}")]
    Unexpected {
        /// Characters from 1.
        column: usize,
        /// What may stand there.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A quotation mark or parenthesis that is not closed.
    #[error("column {column}: expected {expected} to close this {opened}, found the end")]
    Open {
        /// Characters from 1.
        column: usize,
        /// What closes it.
        expected: char,
        /// What was opened.
        opened: char,
    },
    /// More than anybody writes.
    #[error("column {column}: expected an expression of at most {max} {what}")]
    TooMuch {
        /// Characters from 1.
        column: usize,
        /// Of what.
        what: &'static str,
        /// The most.
        max: usize,
    },
}

impl ExpressionError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unexpected { .. } => {
                "terms are joined by AND, OR and AND NOT; put words with parentheses or capital operators in quotation marks"
            }
            Self::Open { .. } => "close it, or put it in quotation marks, where \\\" is one",
            Self::TooMuch { .. } => "shorten it, or search more than once",
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Expression<Term>, ExpressionError> {
    if text.len() > MAX_BYTES {
        return Err(ExpressionError::TooMuch { column: 1, what: "bytes", max: MAX_BYTES });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, terms: 0 };
    let expression = parser.any()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.unexpected("AND, OR or the end")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Image(String),
    And,
    Or,
    Not,
    Open,
    Close,
    End,
}

impl Token {
    fn of_word(word: &str) -> Self {
        match word {
            "AND" => Self::And,
            "OR" => Self::Or,
            "NOT" => Self::Not,
            _ => Self::Word(word.to_owned()),
        }
    }

    fn described(&self) -> String {
        match self {
            Self::Word(text) | Self::Quoted(text) => format!("`{}`", shortened(text)),
            Self::Image(name) => format!("`image:{}`", shortened(name)),
            Self::And => "AND".to_owned(),
            Self::Or => "OR".to_owned(),
            Self::Not => "NOT".to_owned(),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Tokens with their columns; the last is the end.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut lexer = Lexer { characters: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let (column, token) = lexer.next()?;
        let is_last = token == Token::End;
        tokens.push((column, token));
        if is_last {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
}

impl Lexer {
    fn next(&mut self) -> Result<(usize, Token), ExpressionError> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let column = self.at + 1;
        let token = match self.peek() {
            None => Token::End,
            Some('(') => self.single(Token::Open),
            Some(')') => self.single(Token::Close),
            Some('"') => Token::Quoted(self.quoted()?),
            Some(_) => self.word()?,
        };
        Ok((column, token))
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn single(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn word(&mut self) -> Result<Token, ExpressionError> {
        let word = self.until_edge();
        let Some(name) = word.strip_prefix("image:") else { return Ok(Token::of_word(&word)) };
        match (name, self.peek()) {
            ("", Some('"')) => Ok(Token::Image(self.quoted()?)),
            ("", _) => {
                let found = "nothing after `image:`".to_owned();
                let expected = "the name of a photo";
                Err(ExpressionError::Unexpected { column: self.at + 1, expected, found })
            }
            _ => Ok(Token::Image(name.to_owned())),
        }
    }

    fn until_edge(&mut self) -> String {
        let start = self.at;
        let is_edge = |c: char| c.is_whitespace() || ['(', ')', '"'].contains(&c);
        while self.peek().is_some_and(|c| !is_edge(c)) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn quoted(&mut self) -> Result<String, ExpressionError> {
        let column = self.at + 1;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match (c, self.peek()) {
                ('"', _) => return Ok(text),
                ('\\', Some(escaped @ ('"' | '\\'))) => {
                    text.push(escaped);
                    self.at += 1;
                }
                _ => text.push(c),
            }
        }
        Err(ExpressionError::Open { column, expected: '"', opened: '"' })
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    terms: usize,
}

type Parsed = Result<Expression<Term>, ExpressionError>;

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].1
    }

    fn column(&self) -> usize {
        self.tokens[self.at].0
    }

    fn take(&mut self, token: &Token) -> bool {
        let is_there = self.peek() == token;
        self.at += usize::from(is_there);
        is_there
    }

    fn unexpected(&self, expected: &'static str) -> ExpressionError {
        let found = self.peek().described();
        ExpressionError::Unexpected { column: self.column(), expected, found }
    }

    /// all (OR all)*
    fn any(&mut self) -> Parsed {
        let mut parts = vec![self.all()?];
        while self.take(&Token::Or) {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Expression::Or))
    }

    /// maybe_not (AND maybe_not)*
    fn all(&mut self) -> Parsed {
        let mut parts = vec![self.maybe_not()?];
        while self.take(&Token::And) {
            parts.push(self.maybe_not()?);
        }
        Ok(joined(parts, Expression::And))
    }

    /// NOT maybe_not | primary
    fn maybe_not(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let (column, what) = (self.column(), "levels");
            return Err(ExpressionError::TooMuch { column, what, max: MAX_DEPTH });
        }
        let parsed = match self.take(&Token::Not) {
            true => self.maybe_not().map(|part| Expression::Not(Box::new(part))),
            false => self.primary(),
        };
        self.depth -= 1;
        parsed
    }

    /// `(` any `)` | image | words
    fn primary(&mut self) -> Parsed {
        let column = self.column();
        if self.take(&Token::Open) {
            let inner = self.any()?;
            return match self.peek() {
                Token::Close => {
                    self.at += 1;
                    Ok(inner)
                }
                Token::End => Err(ExpressionError::Open { column, expected: ')', opened: '(' }),
                _ => Err(self.unexpected("AND, OR or `)`")),
            };
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(ExpressionError::TooMuch { column, what: "terms", max: MAX_TERMS });
        }
        if let Token::Image(name) = self.peek().clone() {
            self.at += 1;
            return Ok(Expression::Term(Term::Image(name)));
        }
        self.words()
    }

    fn words(&mut self) -> Parsed {
        let mut words: Vec<String> = Vec::new();
        while let Token::Word(word) | Token::Quoted(word) = self.peek() {
            words.extend((!word.trim().is_empty()).then(|| word.trim().to_owned()));
            self.at += 1;
        }
        if words.is_empty() {
            return Err(self.unexpected("words, a photo or `(`"));
        }
        Ok(Expression::Term(Term::Words(words.join(" "))))
    }
}

/// One part alone, or all of them under an operator.
fn joined(
    mut parts: Vec<Expression<Term>>,
    join: impl Fn(Vec<Expression<Term>>) -> Expression<Term>,
) -> Expression<Term> {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Expression<Term> {
        Expression::Term(Term::Words(text.to_owned()))
    }

    fn image(name: &str) -> Expression<Term> {
        Expression::Term(Term::Image(name.to_owned()))
    }

    fn not(part: Expression<Term>) -> Expression<Term> {
        Expression::Not(Box::new(part))
    }

    #[test]
    fn words_alone_are_one_text() {
        assert_eq!(parse("two  dogs\tplaying").unwrap(), words("two dogs playing"));
        assert_eq!(parse("\"salt AND pepper\"").unwrap(), words("salt AND pepper"));
        assert_eq!(parse("rock and roll, or not").unwrap(), words("rock and roll, or not"));
        assert_eq!(
            parse(r#"a "12\" record" on \ table"#).unwrap(),
            words(r#"a 12" record on \ table"#)
        );
    }

    #[test]
    fn not_binds_before_and_and_before_or() {
        let expected =
            Expression::Or(vec![words("a"), Expression::And(vec![words("b"), not(words("c d"))])]);
        assert_eq!(parse("a OR b AND NOT c d").unwrap(), expected);
        let expected = Expression::And(vec![
            Expression::Or(vec![words("a"), words("b")]),
            image("my cat.jpg"),
        ]);
        assert_eq!(parse("(a OR b) AND image:\"my cat.jpg\"").unwrap(), expected);
        assert_eq!(parse("image:x/cat.jpg").unwrap(), image("x/cat.jpg"));
    }

    #[test]
    fn an_error_points_at_its_column() {
        for (text, message) in [
            ("", "column 1: expected words, a photo or `(`, found the end"),
            ("dog AND", "column 8: expected words, a photo or `(`, found the end"),
            ("dog (beach)", "column 5: expected AND, OR or the end, found `(`"),
            ("dog NOT cat", "column 5: expected AND, OR or the end, found NOT"),
            ("dög )", "column 5: expected AND, OR or the end, found `)`"),
            ("(a OR b", "column 1: expected ) to close this (, found the end"),
            ("a AND \"b", "column 7: expected \" to close this \", found the end"),
            ("image: dog", "column 7: expected the name of a photo, found nothing after `image:`"),
            ("image:a.jpg dog", "column 13: expected AND, OR or the end, found `dog`"),
            ("\"\" AND a", "column 4: expected words, a photo or `(`, found AND"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn what_nobody_writes_is_refused() {
        let too_much = |text: String, what: &str| {
            let error = parse(&text).unwrap_err();
            assert!(matches!(error, ExpressionError::TooMuch { what: found, .. } if found == what));
        };
        too_much("dog ".repeat(300_000), "bytes");
        too_much(format!("{}dog{}", "(".repeat(1_500), ")".repeat(1_500)), "levels");
        too_much(format!("{}dog", "NOT ".repeat(1_000)), "levels");
        too_much(vec!["dog"; 100].join(" OR "), "terms");
    }
}
