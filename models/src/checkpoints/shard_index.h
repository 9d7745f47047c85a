#pragma once

#include <map>
#include <string>
#include <vector>

namespace hessian::models {

/// Reads the index of a Hugging Face folder with several weight files: `weight_map` gives the file of each tensor.
/// \param ending  that of the files' names: ".safetensors" or ".bin"
/// \return        file name -> names of its tensors
/// \throws std::runtime_error  one line, also unless every file is in the folder of the index
std::map<std::string, std::vector<std::string>> read_shard_index(const std::string& path, const std::string& ending);

}  // namespace hessian::models
