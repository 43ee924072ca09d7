"""
Where what is.
"""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("buy/<int:listing_id>/", views.place, name="place"),
    path("orders/<str:order_id>/", views.order, name="order"),
    path("orders/<str:order_id>/<str:name>/", views.send, name="send"),
    path("sign-in/", LoginView.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
