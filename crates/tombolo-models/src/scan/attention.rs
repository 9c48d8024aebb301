//! Words that attend over the regions of pictures.

use candle_core::{Result, Tensor, bail};
use tombolo_kernels::masked_softmax;

/// Under square roots, so that a region that no word of a text is like has a finite slope.
const TINY: f64 = 1e-8;

/// How well texts say what is in pictures: SCAN from text to image (Lee et al. 2018, §3.2, equations 6 to 8 with the
/// average).
///
/// For a picture with regions vᵢ and a text with words eⱼ, all of unit norm, sᵢⱼ = vᵢ·eⱼ: s̄ᵢⱼ = [sᵢⱼ]₊ / √(Σⱼ [sᵢⱼ]₊²), word j
/// attends to aⱼ = Σᵢ softmaxᵢ(λ·s̄ᵢⱼ)·vᵢ, and the score is the mean over j of cos(eⱼ, aⱼ). The attended vectors are never
/// made: eⱼ·aⱼ is a sum over sᵢⱼ, and the norm of aⱼ one over the cosines of the picture's regions.
///
/// # Shapes
/// `regions`: `[pictures · regions, dim]`, as many regions a picture; `words`: `[words, dim]`, texts one after the other;
/// `lengths`: the words of each text, none zero; `sharpness`: λ. Returns `[pictures, texts]`, from −1 to 1.
/// # Errors
/// If the shapes do not agree.
pub fn cross_attention(
    regions: (&Tensor, usize),
    words: (&Tensor, &[usize]),
    sharpness: f64,
) -> Result<Tensor> {
    let ((regions, pictures), (words, lengths)) = (regions, words);
    let (rows, dim) = regions.dims2()?;
    let count = words.dim(0)?;
    if pictures == 0 || rows % pictures != 0 || lengths.iter().sum::<usize>() != count {
        bail!(
            "cross-attention: expected {pictures} pictures and {lengths:?} words, found {rows} regions and {count} words"
        );
    }
    let each = rows / pictures;
    let cosines = words.matmul(&regions.t()?)?;
    let texts = Texts::new(lengths, words)?;
    let likeness = texts.normalise(&cosines.relu()?)?.reshape((count * pictures, each))?;
    let weights = masked_softmax(&(likeness * sharpness)?, &vec![each; count * pictures])?;
    let weights = weights.reshape((count, pictures, each))?;
    let along = (&weights * cosines.reshape((count, pictures, each))?)?.sum(2)?;
    let regions = regions.reshape((pictures, each, dim))?;
    let among = regions.matmul(&regions.t()?.contiguous()?)?;
    let weights = weights.transpose(0, 1)?.contiguous()?;
    let squares = (weights.matmul(&among)? * &weights)?.sum(2)?;
    let cosines = (along.t()? / (squares + TINY)?.sqrt()?)?;
    cosines.contiguous()?.matmul(&texts.means)
}

/// Which words are whose.
struct Texts {
    /// 1 where a word is of a text, `[texts, words]`.
    own: Tensor,
    /// One over the number of a text's words where a word is of it, `[words, texts]`.
    means: Tensor,
    /// The text of each word.
    text_of_word: Tensor,
}

impl Texts {
    fn new(lengths: &[usize], like: &Tensor) -> Result<Self> {
        let (texts, words) = (lengths.len(), lengths.iter().sum::<usize>());
        let (mut own, mut means) = (vec![0.0f32; texts * words], vec![0.0f32; words * texts]);
        let mut text_of_word = Vec::with_capacity(words);
        for (text, &length) in lengths.iter().enumerate() {
            for _ in 0..length {
                let word = text_of_word.len();
                own[text * words + word] = 1.0;
                means[word * texts + text] = 1.0 / length as f32;
                text_of_word.push(text as u32);
            }
        }
        let device = like.device();
        Ok(Self {
            own: Tensor::from_vec(own, (texts, words), device)?,
            means: Tensor::from_vec(means, (words, texts), device)?,
            text_of_word: Tensor::from_vec(text_of_word, words, device)?,
        })
    }

    /// Each column of values `[words, …]` over its norm within each text.
    fn normalise(&self, values: &Tensor) -> Result<Tensor> {
        let norms = (self.own.matmul(&values.sqr()?)? + TINY)?.sqrt()?;
        values / norms.index_select(&self.text_of_word, 0)?
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    const DIM: usize = 5;
    const PICTURES: usize = 3;
    const EACH: usize = 4;
    const LENGTHS: [usize; 2] = [2, 4];
    const SHARPNESS: f64 = 9.0;

    /// Deterministic rows of unit norm.
    fn rows(count: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
        let mut values: Vec<f32> = (0..count * DIM).map(value).collect();
        for row in values.chunks_exact_mut(DIM) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
        }
        values
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    /// The score of one picture and one text as the paper writes it.
    fn naive(regions: &[f32], words: &[f32]) -> f32 {
        let cosines = |word: &[f32]| -> Vec<f32> {
            regions.chunks_exact(DIM).map(|region| dot(region, word)).collect()
        };
        let all: Vec<Vec<f32>> = words.chunks_exact(DIM).map(cosines).collect();
        let norm = |i: usize| all.iter().map(|s| s[i].max(0.0).powi(2)).sum::<f32>().sqrt();
        let score = |(word, s): (&[f32], &Vec<f32>)| {
            let likeness = (0..EACH).map(|i| s[i].max(0.0) / norm(i).max(1e-4));
            let exps: Vec<f32> = likeness.map(|x| (SHARPNESS as f32 * x).exp()).collect();
            let mut attended = [0.0; DIM];
            for (region, weight) in regions.chunks_exact(DIM).zip(&exps) {
                attended.iter_mut().zip(region).for_each(|(a, v)| *a += weight * v);
            }
            dot(&attended, word) / dot(&attended, &attended).sqrt()
        };
        words.chunks_exact(DIM).zip(&all).map(score).sum::<f32>() / all.len() as f32
    }

    fn scores(regions: &[f32], words: &[f32]) -> Tensor {
        let tensor = |values: &[f32]| {
            Tensor::from_slice(values, (values.len() / DIM, DIM), &Device::Cpu).unwrap()
        };
        let (regions, words) = (tensor(regions), tensor(words));
        cross_attention((&regions, PICTURES), (&words, &LENGTHS), SHARPNESS).unwrap()
    }

    #[test]
    fn it_equals_the_naive_form() {
        let (regions, words) = (rows(PICTURES * EACH, 1), rows(6, 2));
        let found = scores(&regions, &words).to_vec2::<f32>().unwrap();
        for (picture, found) in found.iter().enumerate() {
            let regions = &regions[picture * EACH * DIM..][..EACH * DIM];
            for (text, words) in [&words[..2 * DIM], &words[2 * DIM..]].into_iter().enumerate() {
                let expected = naive(regions, words);
                assert!((found[text] - expected).abs() < 1e-4, "{}, {expected}", found[text]);
            }
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        let (regions, words) = (rows(PICTURES * EACH, 3), rows(6, 4));
        let upstream = Tensor::arange(1f32, 7.0, &Device::Cpu).unwrap().reshape((3, 2)).unwrap();
        let loss = |regions: &Tensor, words: &Tensor| {
            let scores = cross_attention((regions, PICTURES), (words, &LENGTHS), SHARPNESS);
            (scores.unwrap() * &upstream).unwrap().sum_all().unwrap()
        };
        let vars = [&regions, &words].map(|values| {
            let tensor = Tensor::from_slice(values, (values.len() / DIM, DIM), &Device::Cpu);
            Var::from_tensor(&tensor.unwrap()).unwrap()
        });
        let gradients = loss(&vars[0], &vars[1]).backward().unwrap();
        for (side, var) in vars.iter().enumerate() {
            let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let found = gradients.get(var).unwrap().flatten_all().unwrap();
            for (i, found) in found.to_vec1::<f32>().unwrap().into_iter().enumerate() {
                let moved = |delta: f32| {
                    let mut values = values.clone();
                    values[i] += delta;
                    let moved = Tensor::from_slice(&values, var.shape(), &Device::Cpu).unwrap();
                    let sides = if side == 0 { (&moved, &*vars[1]) } else { (&*vars[0], &moved) };
                    loss(sides.0, sides.1).to_scalar::<f32>().unwrap()
                };
                let numeric = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                let allowed = 3e-2 * (1.0 + numeric.abs());
                assert!((numeric - found).abs() < allowed, "{side} {i}: {numeric}, {found}");
            }
        }
    }

    #[test]
    fn other_texts_and_pictures_change_no_score() {
        let (regions, words) = (rows(PICTURES * EACH, 5), rows(6, 6));
        let all = scores(&regions, &words).to_vec2::<f32>().unwrap();
        let tensor = |values: &[f32], rows: usize| {
            Tensor::from_slice(values, (rows, DIM), &Device::Cpu).unwrap()
        };
        let one = tensor(&regions[EACH * DIM..][..EACH * DIM], EACH);
        let text = tensor(&words[2 * DIM..], 4);
        let alone = cross_attention((&one, 1), (&text, &[4]), SHARPNESS).unwrap();
        assert!((alone.to_vec2::<f32>().unwrap()[0][0] - all[1][1]).abs() < 1e-5);
        assert!(cross_attention((&one, 3), (&text, &[4]), SHARPNESS).is_err());
        assert!(cross_attention((&one, 1), (&text, &[3]), SHARPNESS).is_err());
    }
}
