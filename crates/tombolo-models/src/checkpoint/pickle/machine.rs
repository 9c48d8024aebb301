//! The machine behind [`Pickle::read`]: a stack, a memo and an arena; it refuses whatever tensors do not need.

use std::collections::HashMap;
use std::rc::Rc;

use super::{
    Global, MAGIC, MAGIC_NAME, PickleError, Storage, Tensor, Value, is_text, known, natural,
};

const LONGEST_NAME: usize = 1000;
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte.
    pub(super) at: usize,
    /// The current instruction.
    start: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    pub(super) compounds: Vec<Vec<Value>>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            start: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            compounds: Vec::new(),
        }
    }

    pub(super) fn run(&mut self) -> Result<Value, PickleError> {
        loop {
            self.start = self.at;
            match self.byte()? {
                b'.' => return self.pop(),
                code => self.step(code)?,
            }
        }
    }

    fn step(&mut self, code: u8) -> Result<(), PickleError> {
        match code {
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | b'G' | b'X' | 0x8c | b'U' | b'T' => {
                self.scalar(code)
            }
            b'}' | b']' | b')' | b't' | 0x85..=0x87 => self.compound(code),
            b's' | b'u' | b'a' | b'e' => self.fill(code),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memory(code),
            b'c' | 0x93 => self.global(code),
            b'Q' => self.storage(),
            b'R' => self.reduce(),
            b'b' => self.build(),
            found => Err(PickleError::Instruction { at: self.start, found }),
        }
    }

    fn scalar(&mut self, code: u8) -> Result<(), PickleError> {
        let value = match code {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Value::Int(self.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                Value::Float
            }
            0x8c | b'U' => {
                let length = self.byte()?.into();
                self.text(length)?
            }
            _ => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.text(length)?
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// A little-endian two's-complement integer of a length that precedes it. The longest that a checkpoint has is its magic
    /// number of ten bytes; of what is longer than eight, only that number is told apart.
    fn long(&mut self) -> Result<Value, PickleError> {
        let length = self.byte()?.into();
        let bytes = self.take(length)?;
        if bytes == MAGIC {
            return Ok(Value::Text(MAGIC_NAME.into()));
        }
        if length > 8 {
            return Err(self.operand("an integer of up to eight bytes"));
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..length].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    fn text(&mut self, length: usize) -> Result<Value, PickleError> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(|text| Value::Text(text.into()))
            .map_err(|_| self.operand("text in UTF-8"))
    }

    fn compound(&mut self, code: u8) -> Result<(), PickleError> {
        let items = match code {
            b't' => self.above_mark()?,
            0x85..=0x87 => self.above(usize::from(code - 0x84))?,
            _ => Vec::new(),
        };
        let n = self.compounds.len();
        self.compounds.push(items);
        self.stack.push(match code {
            b'}' => Value::Dict(n),
            b']' => Value::List(n),
            _ => Value::Tuple(n),
        });
        Ok(())
    }

    fn fill(&mut self, code: u8) -> Result<(), PickleError> {
        let items = match code {
            b's' => self.above(2)?,
            b'a' => self.above(1)?,
            _ => self.above_mark()?,
        };
        let n = match (code, self.stack.last()) {
            (b's' | b'u', Some(Value::Dict(n))) if items.len().is_multiple_of(2) => *n,
            (b'a' | b'e', Some(Value::List(n))) => *n,
            _ => return Err(self.operand("a dictionary or a list to fill")),
        };
        self.compounds[n].extend(items);
        Ok(())
    }

    fn memory(&mut self, code: u8) -> Result<(), PickleError> {
        let key = match code {
            b'q' | b'h' => self.byte()?.into(),
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| self.operand("a smaller memo"))?,
        };
        if matches!(code, b'h' | b'j') {
            let value = self.memo.get(&key).cloned();
            self.stack.push(value.ok_or_else(|| self.operand("a value remembered before"))?);
        } else {
            let value = self.stack.last().cloned();
            self.memo.insert(key, value.ok_or_else(|| self.operand("a value to remember"))?);
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), PickleError> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => (module, name),
                _ => return Err(self.operand("two names")),
            }
        };
        let found = format!("{module}.{name}");
        let value = known(&found).ok_or(PickleError::Global { at: self.start, found })?;
        self.stack.push(Value::Global(value));
        Ok(())
    }

    /// ('storage', type, key, location, length[, None]): the sixth, a view of another storage, has not been written since 2017.
    fn storage(&mut self) -> Result<(), PickleError> {
        let identifier = self.pop()?;
        let storage = match self.tuple(&identifier) {
            Some(
                [
                    kind,
                    Value::Global(Global::Storage(element)),
                    Value::Text(key),
                    _,
                    length,
                    view @ ..,
                ],
            ) if is_text(kind, "storage") && matches!(view, [] | [Value::None]) => natural(length)
                .map(|length| Storage { key: key.clone(), element: *element, length }),
            _ => None,
        };
        let storage = storage.ok_or_else(|| self.operand("a reference to a storage"))?;
        self.stack.push(Value::Storage(Rc::new(storage)));
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let value = match (function, self.tuple(&arguments)) {
            (Value::Global(Global::OrderedDict), Some([])) => {
                self.compounds.push(Vec::new());
                Some(Value::Dict(self.compounds.len() - 1))
            }
            (Value::Global(Global::RebuildTensor), Some([storage, offset, shape, stride, ..])) => {
                self.tensor(storage, offset, shape, stride)
            }
            (Value::Global(Global::RebuildParameter), Some([tensor @ Value::Tensor(_), ..])) => {
                Some(tensor.clone())
            }
            _ => None,
        };
        self.stack.push(value.ok_or_else(|| self.operand("what a tensor is rebuilt from"))?);
        Ok(())
    }

    fn tensor(
        &self,
        storage: &Value,
        offset: &Value,
        shape: &Value,
        stride: &Value,
    ) -> Option<Value> {
        let Value::Storage(storage) = storage else { return None };
        let naturals = |tuple| self.tuple(tuple)?.iter().map(natural).collect::<Option<Vec<_>>>();
        Some(Value::Tensor(Rc::new(Tensor {
            storage: storage.clone(),
            offset: natural(offset)?,
            shape: naturals(shape)?,
            stride: naturals(stride)?,
        })))
    }

    /// A state_dict carries its modules' versions as an attribute; they say nothing about tensors and are dropped.
    fn build(&mut self) -> Result<(), PickleError> {
        match (self.pop()?, self.stack.last()) {
            (Value::Dict(_), Some(Value::Dict(_))) => Ok(()),
            _ => Err(self.operand("attributes of an ordered dictionary")),
        }
    }

    fn tuple(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(n) => self.compounds.get(*n).map(Vec::as_slice),
            _ => None,
        }
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        self.stack.pop().ok_or_else(|| self.operand("a value"))
    }

    fn above(&mut self, count: usize) -> Result<Vec<Value>, PickleError> {
        let from = self.stack.len().checked_sub(count);
        from.map(|from| self.stack.split_off(from)).ok_or_else(|| self.operand("more values"))
    }

    fn above_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(self.operand("a mark")),
        }
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        Ok(self.take(N)?.try_into().expect("as long as asked for"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let taken =
            rest.get(..length).ok_or(PickleError::Truncated { at: self.at, expected: length })?;
        self.at += length;
        Ok(taken)
    }

    fn line(&mut self) -> Result<Rc<str>, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take(LONGEST_NAME).position(|byte| *byte == b'\n');
        let length = length.ok_or_else(|| self.operand("a name"))?;
        let line = String::from_utf8_lossy(self.take(length + 1)?);
        Ok(line.trim_end_matches('\n').into())
    }

    fn operand(&self, expected: &'static str) -> PickleError {
        PickleError::Operand { at: self.start, expected }
    }
}
