//! The gated recurrent unit against the same thing from stock operations, its gradients against finite differences, and
//! independence of neighbours and of the number of threads.

use candle_core::{Result, Tensor, Var};
use proptest::prelude::*;
use tombolo_kernels::{Direction, gru, gru_composed};

use crate::inputs::{assert_close, check_gradient, compare_gradients, flat, tensor};

const BOTH: [Direction; 2] = [Direction::Forward, Direction::Backward];

type Form = fn(&Tensor, &Tensor, &Tensor, &[usize], Direction) -> Result<Tensor>;

/// Gates, weight and bias, the weight small enough for states not to be saturated.
fn operands(rows: usize, hidden: usize, seed: u32) -> [Tensor; 3] {
    let weight = (tensor(&[3 * hidden, hidden], seed ^ 1) * (hidden as f64).powf(-0.5)).unwrap();
    [tensor(&[rows, 3 * hidden], seed), weight, tensor(&[3 * hidden], seed ^ 2)]
}

#[test]
fn gradients_match_finite_differences() {
    let ([gates, weight, bias], lengths) = (operands(11, 5, 1), [4, 1, 6]);
    for direction in BOTH {
        check_gradient(&gates, |x| gru(x, &weight, &bias, &lengths, direction));
        check_gradient(&weight, |w| gru(&gates, w, &bias, &lengths, direction));
        check_gradient(&bias, |b| gru(&gates, &weight, b, &lengths, direction));
    }
}

#[test]
fn a_sequence_among_others_gives_what_it_gives_alone() {
    let [gates, weight, bias] = operands(9, 16, 2);
    for direction in BOTH {
        let both = gru(&gates, &weight, &bias, &[4, 5], direction).unwrap();
        let alone = gates.narrow(0, 4, 5).unwrap();
        let alone = gru(&alone, &weight, &bias, &[5], direction).unwrap();
        assert_close(&flat(&both.narrow(0, 4, 5).unwrap()), &flat(&alone), 1e-6);
    }
}

#[test]
fn read_backward_a_sequence_gives_the_states_of_its_reverse() {
    let [gates, weight, bias] = operands(6, 7, 3);
    let reversed =
        |x: &Tensor| x.index_select(&Tensor::new(&[5u32, 4, 3, 2, 1, 0], x.device())?, 0);
    let backward = gru(&gates, &weight, &bias, &[6], Direction::Backward).unwrap();
    let forward = gru(&reversed(&gates).unwrap(), &weight, &bias, &[6], Direction::Forward);
    assert_close(&flat(&backward), &flat(&reversed(&forward.unwrap()).unwrap()), 1e-6);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let lengths: Vec<usize> = (0..90).map(|i| 1 + i * 7 % 12).collect();
    let [gates, weight, bias] = operands(lengths.iter().sum(), 24, 4);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let operands = [&gates, &weight, &bias].map(|x| Var::from_tensor(x).unwrap());
            let [gates, weight, bias] = &operands;
            let states = gru(gates, weight, bias, &lengths, Direction::Forward).unwrap();
            let gradients = states.sqr().unwrap().backward().unwrap();
            let gradients = operands.iter().map(|x| flat(gradients.get(x).unwrap()));
            [vec![flat(&states)], gradients.collect()].concat()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn wrong_shapes_are_refused() {
    let [gates, weight, bias] = operands(5, 4, 5);
    for form in [gru as Form, gru_composed] {
        let states = |gates: &Tensor, weight: &Tensor, bias: &Tensor, lengths: &[usize]| {
            form(gates, weight, bias, lengths, Direction::Forward)
        };
        assert!(states(&gates, &weight, &bias, &[2, 3]).is_ok());
        assert!(states(&gates, &weight, &bias, &[2, 2]).is_err());
        assert!(states(&gates, &weight, &bias, &[5, 0]).is_err());
        assert!(states(&gates, &weight, &tensor(&[4], 0), &[5]).is_err());
        assert!(states(&gates, &tensor(&[12, 3], 0), &bias, &[5]).is_err());
        assert!(states(&tensor(&[5, 4], 0), &weight, &bias, &[5]).is_err());
    }
}

#[test]
fn no_sequences_give_no_states() {
    let [_, weight, bias] = operands(0, 4, 6);
    let gates = Tensor::zeros((0, 12), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    for form in [gru as Form, gru_composed] {
        assert_eq!(form(&gates, &weight, &bias, &[], Direction::Forward).unwrap().dims(), [0, 4]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_matches_its_composed_form(
        lengths in prop::collection::vec(1usize..9, 1..70), hidden in 1usize..40, seed: u32,
    ) {
        let [gates, weight, bias] = operands(lengths.iter().sum(), hidden, seed);
        for direction in BOTH {
            let fused = gru(&gates, &weight, &bias, &lengths, direction).unwrap();
            let stock = gru_composed(&gates, &weight, &bias, &lengths, direction).unwrap();
            assert_close(&flat(&fused), &flat(&stock), 1e-4);
            compare_gradients(&gates, [
                &|x| gru(x, &weight, &bias, &lengths, direction),
                &|x| gru_composed(x, &weight, &bias, &lengths, direction),
            ]);
            compare_gradients(&weight, [
                &|w| gru(&gates, w, &bias, &lengths, direction),
                &|w| gru_composed(&gates, w, &bias, &lengths, direction),
            ]);
            compare_gradients(&bias, [
                &|b| gru(&gates, &weight, b, &lengths, direction),
                &|b| gru_composed(&gates, &weight, b, &lengths, direction),
            ]);
        }
    }
}
