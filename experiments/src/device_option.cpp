#include "device_option.h"

#include <stdexcept>

#include "hessian/device.h"

namespace experiments {

c10::Device choose_device(const std::string& word, const std::string& option) {
  try {
    return hessian::select_device(word);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(option + " " + error.what());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(option + " " + word + ": " + error.what() + "; " + option + " cpu works everywhere");
  }
}

}  // namespace experiments
