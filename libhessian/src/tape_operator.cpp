#include "hessian/tape_operator.h"

#include <stdexcept>
#include <utility>

#include "block_places.h"

namespace hessian {

TapeOperator::TapeOperator(Program program, Parameters parameters, std::vector<at::Tensor> inputs, ValueId value)
    : program_(std::move(program)), parameters_(std::move(parameters)), inputs_(std::move(inputs)), value_(value) {
  if (inputs_.empty()) {
    throw std::invalid_argument("a tape takes a tensor for each input, and at least one");
  }
  record(all_blocks(inputs_.front().size(0)));
  const at::Tensor& x = tape_->activation(0);
  dim_ = x.numel() / x.size(0);
  options_ = x.options();
}

void TapeOperator::record(const BlockIndices& blocks) const {
  tape_.reset();  // before the new one is recorded, so that never two are held
  std::vector<at::Tensor> rows;
  for (const at::Tensor& input : inputs_) {
    rows.push_back(rows_of(input, blocks));
  }
  tape_ = std::make_unique<Tape>(program_, parameters_, rows, std::vector<ValueId>{value_});
  recorded_ = blocks;
}

at::Tensor TapeOperator::do_apply(const at::Tensor& v, const BlockIndices& blocks) const {
  if (worth_recording(recorded_, blocks)) {
    record(blocks);
  }
  const at::Tensor& x = tape_->activation(0);
  auto shape = x.sizes().vec();
  shape.insert(shape.begin() + 1, v.size(1));
  if (blocks == recorded_) {
    return tape_->apply({v.reshape(shape)})[0].reshape(v.sizes());
  }
  const at::Tensor index = at::tensor(places_among(recorded_, blocks).places, at::device(v.device()).dtype(at::kLong));
  const at::Tensor all = at::zeros(shape, v.options()).flatten(2).index_copy(0, index, v);
  return tape_->apply({all.view(shape)})[0].flatten(2).index_select(0, index);
}

}  // namespace hessian
