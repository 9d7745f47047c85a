#pragma once  // see the README beside this folder
