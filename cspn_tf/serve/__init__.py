"""Client of a served model, and a local server for development.

client              send photos, without TensorFlow
wire                protobuf messages of TF Serving
local_server        run the server as a separate process
grpc_server         TF Serving's gRPC services
model_versions      load versions of a model directory, and switch to new ones
servable            one loaded version: requests in, responses out
warmup              warm-up requests in exported models
"""
