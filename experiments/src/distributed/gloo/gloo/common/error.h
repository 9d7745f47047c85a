#pragma once  // see the README two folders up
