#include <gtest/gtest.h>

#include "checkpoints/wrapper_prefixes.h"

using hessian::models::without_wrapper_prefixes;

TEST(WrapperPrefixes, AreRemovedInAnyOrderAtTheFront) {
  const std::string name = "layers.0.attention.wq.weight";
  EXPECT_EQ(without_wrapper_prefixes(name), name);
  for (const std::string prefix : {"_orig_mod.", "module.", "_fsdp_wrapped_module.", "module._orig_mod.",
                                   "_orig_mod.module.", "_fsdp_wrapped_module.module._orig_mod._orig_mod."}) {
    EXPECT_EQ(without_wrapper_prefixes(prefix + name), name) << prefix;
  }
}

TEST(WrapperPrefixes, OfSubmodulesAreRemovedToo) {
  EXPECT_EQ(without_wrapper_prefixes("model.layers.0._orig_mod._checkpoint_wrapped_module.mlp.up_proj.weight"),
            "model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(without_wrapper_prefixes("_fsdp_wrapped_module.layers.3._fsdp_wrapped_module.norm.weight"),
            "layers.3.norm.weight");
}

TEST(WrapperPrefixes, LeaveWhatOnlyLooksLikeThem) {
  EXPECT_EQ(without_wrapper_prefixes("model.module.weight"), "model.module.weight");
  EXPECT_EQ(without_wrapper_prefixes("modules.0.weight"), "modules.0.weight");
  EXPECT_EQ(without_wrapper_prefixes("my_orig_mod.weight"), "my_orig_mod.weight");
  EXPECT_EQ(without_wrapper_prefixes("module"), "module");
  EXPECT_EQ(without_wrapper_prefixes(""), "");
}
