#include "config/device_option.h"

#include <stdexcept>

#include "hessian/device.h"

namespace hessian::experiments {

c10::Device choose_device(const std::string& word, const std::string& option, const JobPlace& place) {
  try {
    const bool shares = place.local_size > 1 && (word == "cuda" || (word == "auto" && hessian::cuda_is_available()));
    return hessian::select_device(shares ? "cuda:" + std::to_string(place.local_rank) : word);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(option + " " + error.what());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(option + " " + word + ": " + error.what() + "; " + option + " cpu works everywhere");
  }
}

int64_t processes_sharing_memory(c10::Device device, const JobPlace& place) {
  return device.is_cpu() ? place.local_size : 1;
}

}  // namespace hessian::experiments
