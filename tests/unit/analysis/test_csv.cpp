#include "output/csv.h"

#include <gtest/gtest.h>

#include <cmath>

using hessian::analysis::Curve;
using hessian::analysis::Figure;

TEST(Csv, HasARowForEveryPointWithItsBand) {
  Figure figure;
  figure.x.label = "step";
  figure.y.label = "loss, in \"nats\"";
  figure.curves = {{"a, b", "#000000", {1, 2}, {0.1, NAN}, {0.05, 0.5}, {0.2, 1}},
                   {"c", "#000000", {3}, {1e-300}, {}, {}}};
  figure.verticals = {{"edge", "#000000", 0.25, true}};
  figure.ticks = {{"Ritz values", "#000000", {-1}}};
  EXPECT_EQ(csv_of(figure),
            "curve,step,\"loss, in \"\"nats\"\"\",low,high\r\n"
            "\"a, b\",1,0.1,0.05,0.2\r\n"
            "\"a, b\",2,,0.5,1\r\n"
            "c,3,1e-300,,\r\n"
            "edge,0.25,,,\r\n"
            "Ritz values,-1,,,\r\n");
}

TEST(Csv, WritesTheNamesOfNamedPlaces) {
  Figure figure;
  figure.x.label = "model";
  figure.y.label = "rate";
  figure.x.names = {"one", "two"};
  figure.curves = {{"a", "#000000", {1, 2}, {3, 4}, {}, {}}};
  EXPECT_EQ(csv_of(figure), "curve,model,rate,low,high\r\na,one,3,,\r\na,two,4,,\r\n");
}

TEST(Csv, HasARowForEveryCellOfAHeatMap) {
  Figure figure;
  figure.x.label = "step";
  figure.y.label = "layer";
  figure.heat_map = hessian::analysis::HeatMap{"norm", {0, 50}, {0, 1}, {1, 2, 3, NAN}, false, {}, {}};
  EXPECT_EQ(csv_of(figure), "step,layer,norm\r\n0,0,1\r\n50,0,2\r\n0,1,3\r\n50,1,\r\n");
}

TEST(Csv, KeepsEveryDigit) {
  Figure figure;
  figure.curves = {{"a", "#000000", {1.0 / 3}, {0.1 + 0.2}, {}, {}}};
  const std::string text = csv_of(figure);
  EXPECT_NE(text.find("0.3333333333333333,0.30000000000000004"), std::string::npos) << text;
}
