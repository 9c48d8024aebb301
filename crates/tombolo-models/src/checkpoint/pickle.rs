//! An interpreter for the few pickle instructions that a state_dict of tensors is made of.
//!
//! Nothing is ever executed or imported: the three functions and the classes that tensors need are recognised by name, and
//! every other name and instruction is refused. All compound values live in one arena and refer to each other by index, so
//! that no input, however nested, can exhaust the stack.

mod machine;

use std::rc::Rc;

use thiserror::Error;

use super::element::ElementType;
use machine::Machine;

/// Why a pickle was refused.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PickleError {
    /// The pickle goes on behind the end of the file.
    #[error("expected {expected} more bytes at byte {at}, found the end")]
    Truncated {
        /// Where in the pickle.
        at: usize,
        /// How many bytes the instruction needs.
        expected: usize,
    },
    /// An instruction that tensors do not need.
    #[error("expected an instruction that tensors need at byte {at}, found 0x{found:02x}")]
    Instruction {
        /// Where in the pickle.
        at: usize,
        /// The instruction.
        found: u8,
    },
    /// A class or function that tensors do not need.
    #[error("expected a name that tensors need at byte {at}, found `{found}`")]
    Global {
        /// Where in the pickle.
        at: usize,
        /// Module and name.
        found: String,
    },
    /// An instruction whose operands are not there, or not of the right kind.
    #[error("expected {expected} at byte {at}, found something else")]
    Operand {
        /// Where in the pickle.
        at: usize,
        /// What the instruction needs.
        expected: &'static str,
    },
}

/// The names that tensors need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(ElementType),
}

/// A value; compounds are indices into the arena.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(Rc<str>),
    Global(Global),
    Tuple(usize),
    List(usize),
    /// Keys and values in turn.
    Dict(usize),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
}

/// A reference to a block of elements elsewhere in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: Rc<str>,
    pub(super) element: ElementType,
    /// In elements, as the file claims.
    pub(super) length: u64,
}

/// A view of a storage, as the file claims; nothing is checked yet.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) stride: Vec<u64>,
}

/// What a pickle holds: its value, and the arena that the value refers to.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) value: Value,
    compounds: Vec<Vec<Value>>,
    /// How many bytes the pickle took.
    pub(super) length: usize,
}

impl Pickle {
    /// Interprets the pickle that `bytes` starts with.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PickleError> {
        let mut machine = Machine::new(bytes);
        let value = machine.run()?;
        Ok(Self { value, compounds: machine.compounds, length: machine.at })
    }

    /// The items of a tuple or list, or keys and values of a dictionary in turn.
    pub(super) fn items(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(n) | Value::List(n) | Value::Dict(n) => {
                self.compounds.get(*n).map(Vec::as_slice)
            }
            _ => None,
        }
    }
}

const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// What the magic number of the legacy form is read as.
pub(super) const MAGIC_NAME: &str = "0x1950a86a20f9469cfc6c";

fn known(name: &str) -> Option<Global> {
    use ElementType::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8};
    Some(match name {
        "collections.OrderedDict" => Global::OrderedDict,
        "torch._utils._rebuild_tensor_v2" => Global::RebuildTensor,
        "torch._utils._rebuild_parameter" => Global::RebuildParameter,
        "torch.DoubleStorage" => Global::Storage(F64),
        "torch.FloatStorage" => Global::Storage(F32),
        "torch.HalfStorage" => Global::Storage(F16),
        "torch.BFloat16Storage" => Global::Storage(Bf16),
        "torch.LongStorage" => Global::Storage(I64),
        "torch.IntStorage" => Global::Storage(I32),
        "torch.ShortStorage" => Global::Storage(I16),
        "torch.CharStorage" => Global::Storage(I8),
        "torch.ByteStorage" => Global::Storage(U8),
        "torch.BoolStorage" => Global::Storage(Bool),
        _ => return None,
    })
}

fn natural(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Whether a value is this text.
pub(super) fn is_text(value: &Value, expected: &str) -> bool {
    matches!(value, Value::Text(text) if &**text == expected)
}
