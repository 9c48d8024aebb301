//! Backbones and models as the commands use them.

use std::path::Path;

use candle_core::Device;
use tombolo_models::backbones::Backbones;
use tombolo_models::model::Model;
use tombolo_models::pull::Store;

use crate::cli::{DeviceName, Global, Misuse};

/// Opens the store of models for the device and network use that the flags ask for.
pub fn backbones(global: &Global) -> anyhow::Result<Backbones> {
    let hub_offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !["", "0"].contains(&v.as_str()));
    Ok(Backbones {
        store: Store::from_env()?,
        offline: global.offline || hub_offline,
        device: device(global.device)?,
    })
}

fn device(name: DeviceName) -> anyhow::Result<Device> {
    let opened = match name {
        DeviceName::Cpu => return Ok(Device::Cpu),
        DeviceName::Cuda => Device::new_cuda(0),
        DeviceName::Metal => Device::new_metal(0),
    };
    opened.map_err(|error| {
        let name = format!("{name:?}").to_lowercase();
        let hint = format!("build with `--features {name}` on a machine that has one, or use cpu");
        Misuse::new(format!("device {name} cannot be used: {error}"), hint).into()
    })
}

/// Opens a trained model: a run directory.
pub fn open(path: &Path) -> anyhow::Result<Model> {
    Ok(Model::open(path)?)
}
