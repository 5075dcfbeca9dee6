// Answers photos with an exported model through TensorFlow's C++ loader, without Python.
//
//   answer MODEL_DIR OUT_DIR PHOTO...
//
// Writes each output as raw little-endian numbers to OUT_DIR/<name>.

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session.h"

int main(int argc, char** argv) {
  tensorflow::SavedModelBundle bundle;
  auto status = tensorflow::LoadSavedModel(tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
                                           {"serve"}, &bundle);
  if (!status.ok()) {
    std::cerr << status.ToString() << std::endl;
    return 1;
  }
  const int num_photos = argc - 3;
  tensorflow::Tensor photos(tensorflow::DT_STRING, tensorflow::TensorShape({num_photos}));
  for (int i = 0; i < num_photos; ++i) {
    std::ifstream file(argv[3 + i], std::ios::binary);
    photos.flat<tensorflow::tstring>()(i) =
        std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  const auto& signature = bundle.GetSignatures().at("serving_default");
  std::vector<std::string> names, tensors;
  for (const auto& output : signature.outputs()) {
    names.push_back(output.first);
    tensors.push_back(output.second.name());
  }
  std::vector<tensorflow::Tensor> outputs;
  status = bundle.GetSession()->Run({{signature.inputs().at("image_bytes").name(), photos}}, tensors, {}, &outputs);
  if (!status.ok()) {
    std::cerr << status.ToString() << std::endl;
    return 1;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const auto data = outputs[i].tensor_data();
    std::ofstream(std::string(argv[2]) + "/" + names[i], std::ios::binary).write(data.data(), data.size());
  }
  return 0;
}
