"""The model cards (`<name>.toml`) and the ONNX files this project trained itself (`<name>.onnx`)."""
